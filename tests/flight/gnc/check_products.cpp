// Prints which rules products break, for comparison with Python's answers.
//
// A case, little-endian: u32 whether to forget the products before it; u32, 2 f64 whether the sensor is known, its
// sides; u32, f64 the area; u32, 3 f64 the sun; u32 whether the bundle is (then 64 characters); then the product's
// message: u32 parts, each after its u32 length.
//
// Printed for each case: a line "product", then "RULE VALUE LIMIT" for each finding, numbers as %.9g.
#include <cstring>

#include "check.hpp"
#include "rubblemap/check.hpp"

namespace {

bool read(void* to, std::size_t size) { return size == 0 || std::fread(to, 1, size, stdin) == size; }

template <typename Value>
Value read_value() {
  Value value{};
  REQUIRE(read(&value, sizeof value));
  return value;
}

}  // namespace

int main() {
  namespace check = rubblemap::check;
  rubblemap::ProductDecoder decoder;
  rubblemap::Product product;
  rubblemap::Fault fault;
  check::Checker checker;
  for (std::uint32_t forget = 0; read(&forget, sizeof forget);) {
    if (forget != 0) checker.forget();
    check::Expectation expected;
    expected.knows_sensor = read_value<std::uint32_t>() != 0;
    expected.sensor_width = read_value<double>();
    expected.sensor_height = read_value<double>();
    expected.knows_area = read_value<std::uint32_t>() != 0;
    expected.area = read_value<double>();
    expected.knows_sun = read_value<std::uint32_t>() != 0;
    for (double& value : expected.sun) value = read_value<double>();
    char sha256[64];
    if (read_value<std::uint32_t>() != 0) {
      REQUIRE(read(sha256, sizeof sha256));
      expected.bundle_sha256 = {sha256, sizeof sha256};
    }
    Message message(read_value<std::uint32_t>());
    for (Bytes& part : message) {
      part.resize(read_value<std::uint32_t>());
      REQUIRE(read(part.data(), part.size()));
    }
    const auto parts = views(message);
    REQUIRE(decoder.decode(parts.data(), parts.size(), product, fault));
    std::puts("product");
    for (const check::Finding& finding : checker.check(product, expected)) {
      const std::string name(name_of(finding.rule));
      std::printf("%s %.9g %.9g\n", name.c_str(), finding.value, finding.limit);
    }
  }
  return 0;
}
