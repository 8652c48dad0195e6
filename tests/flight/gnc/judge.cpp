// Reads product messages from standard input and writes for each what the decoder makes of it, so that its verdicts can
// be compared with those of flight.icd.products. A message: the number of its parts, then each after its length; all
// numbers uint32, little-endian. A line: the reason, or "taken SEQUENCE".
#include <cinttypes>

#include "check.hpp"

namespace {

bool read_number(std::uint32_t& number) {
  std::uint8_t bytes[4];
  if (std::fread(bytes, 1, sizeof bytes, stdin) != sizeof bytes) return false;
  number = number_at(bytes);
  return true;
}

}  // namespace

int main() {
  rubblemap::ProductDecoder decoder;
  rubblemap::Product product;
  rubblemap::Fault fault;
  for (std::uint32_t count = 0; read_number(count);) {
    Message message(count);
    for (Bytes& part : message) {
      std::uint32_t size = 0;
      REQUIRE(read_number(size));
      part.resize(size);
      REQUIRE(std::fread(part.data(), 1, size, stdin) == size);
    }
    const auto parts = views(message);
    if (decoder.decode(parts.data(), parts.size(), product, fault)) {
      std::printf("taken %" PRIu64 "\n", product.sequence);
    } else {
      std::printf("%s %s\n", name_of(fault.reason), fault.message);
    }
  }
  return 0;
}
