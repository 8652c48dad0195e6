// libFuzzer: no bytes whatever may crash the decoder, and what it takes must hold together. The bytes are those of
// tests/golden: parts, each after its length (uint32, little-endian).
#include <cstdlib>

#include "rubblemap/product.hpp"

namespace {

using rubblemap::Part;

// As many parts as there are, up to one more than a product may have; a length beyond the end is cut.
std::size_t split(const std::uint8_t* data, std::size_t size, Part (&parts)[rubblemap::most_parts + 1]) {
  std::size_t count = 0;
  for (std::size_t at = 0; at + 4 <= size && count <= rubblemap::most_parts; ++count) {
    std::size_t stated = 0;
    for (std::size_t i = 4; i-- > 0;) stated = stated << 8 | data[at + i];
    at += 4;
    parts[count] = {data + at, stated < size - at ? stated : size - at};
    at += parts[count].size;
  }
  return count;
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static rubblemap::ProductDecoder decoder;
  static rubblemap::Product product;
  static rubblemap::Fault fault;
  Part parts[rubblemap::most_parts + 1];
  const std::size_t count = split(data, size, parts);
  if (!decoder.decode(parts, count, product, fault)) {
    require(fault.message[0] != '\0' && name_of(fault.reason)[0] != '\0');
    return 0;
  }
  require(product.planes.size() == count - 2);
  for (const rubblemap::Plane& plane : product.planes) {
    std::size_t bytes = plane.dtype == rubblemap::Dtype::u8 ? 1 : 2;
    for (const std::uint32_t side : plane.shape) bytes *= side;
    require(bytes == plane.bytes.size && product.plane(plane.name) != nullptr);
  }
  return 0;
}
