// The golden products decode to the values that tests/golden/vectors.py put in, and damaged ones are refused.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "rubblemap/product.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

#define REQUIRE(condition)                                                       \
  do {                                                                           \
    if (!(condition)) {                                                          \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                              \
    }                                                                            \
  } while (false)

std::vector<Bytes> read_vector(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  const Bytes data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<Bytes> parts;
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t size = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) |
                             (static_cast<std::size_t>(data[at + 3]) << 24);
    const auto first = data.begin() + static_cast<std::ptrdiff_t>(at + 4);
    parts.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
    at += 4 + size;
  }
  return parts;
}

rubblemap::Product decode(const std::vector<Bytes>& parts) {
  std::vector<rubblemap::Part> views;
  for (const Bytes& part : parts) views.push_back({part.data(), part.size()});
  return rubblemap::decode_product(views);
}

bool refused(const std::vector<Bytes>& parts) {
  try {
    decode(parts);
  } catch (const rubblemap::ProductError&) {
    return true;
  }
  return false;
}

void check_values(const std::string& folder) {
  const auto parts = read_vector(folder + "/map_hazard.bin");
  const rubblemap::Product product = decode(parts);
  REQUIRE(product.topic == "map.hazard");
  REQUIRE(product.sequence == 41);
  REQUIRE(product.source == "navcam");
  REQUIRE(product.frame_id == (1ull << 40) + 5);
  REQUIRE(product.status == rubblemap::Status::degraded);
  REQUIRE(product.flags == std::vector<std::string>{"deadline"});
  REQUIRE(product.passes_requested == 20 && product.passes_used == 17);
  REQUIRE(product.map_to_sensor[0] == 4.0 && product.map_to_sensor[2] == 101.5);
  REQUIRE(product.classes.size() == 3 && product.classes[2].role == "hazard");
  const rubblemap::Plane* entropy = product.plane("predictive_entropy");
  REQUIRE(entropy != nullptr && entropy->units == "nat");
  REQUIRE(entropy->shape == (std::vector<std::uint32_t>{4, 6}));
  for (std::size_t i = 0; i < 24; ++i) {
    REQUIRE(rubblemap::half_to_float(entropy->bytes.data + 2 * i) == (static_cast<float>(i) + 1.0f) / 32.0f);
  }
  const auto full_parts = read_vector(folder + "/map_full.bin");
  const rubblemap::Product full = decode(full_parts);
  REQUIRE(full.plane("mean_probability")->shape == (std::vector<std::uint32_t>{3, 4, 6}));
  const auto navigation_parts = read_vector(folder + "/map_navigation.bin");
  REQUIRE(decode(navigation_parts).plane("class_map")->dtype == rubblemap::Dtype::u8);
}

// Every single bit of every plane, every truncation of the header: refused. A flip inside the header either is
// refused or leaves the planes as they were; it never crashes.
void check_damage(const std::string& folder) {
  for (const char* name : {"navigation", "hazard", "full"}) {
    const auto parts = read_vector(folder + "/map_" + name + ".bin");
    for (std::size_t part = 0; part < parts.size(); ++part) {
      for (std::size_t bit = 0; bit < 8 * parts[part].size(); ++bit) {
        auto damaged = parts;
        damaged[part][bit / 8] = static_cast<std::uint8_t>(damaged[part][bit / 8] ^ (1u << (bit % 8)));
        const bool was_refused = refused(damaged);
        REQUIRE(part == 1 || was_refused);
      }
    }
    for (std::size_t size = 0; size < parts[1].size(); ++size) {
      auto shorter = parts;
      shorter[1].resize(size);
      REQUIRE(refused(shorter));
    }
    auto fewer = parts;
    fewer.pop_back();
    REQUIRE(refused(fewer));
  }
}

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  check_values(argv[1]);
  check_damage(argv[1]);
  std::puts("golden products: values right, damage refused");
  return 0;
}
