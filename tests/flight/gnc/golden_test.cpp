// The golden products decode to the values that tests/golden/vectors.py put in, and damaged ones are refused.
#include "check.hpp"

namespace {

rubblemap::Product decode(const Message& parts) { return rubblemap::decode_product(views(parts)); }

bool refused(const Message& message) {
  static rubblemap::ProductDecoder decoder;
  static rubblemap::Product product;
  static rubblemap::Fault fault;
  const auto parts = views(message);
  return !decoder.decode(parts.data(), parts.size(), product, fault);
}

void check_values(const std::string& folder) {
  const auto parts = read_vector(folder + "/map_hazard.bin");
  const rubblemap::Product product = decode(parts);
  REQUIRE(product.topic == "map.hazard");
  REQUIRE(product.sequence == 41);
  REQUIRE(product.source == "navcam");
  REQUIRE(product.frame_id == (1ull << 40) + 5);
  REQUIRE(product.status == rubblemap::Status::degraded);
  REQUIRE(product.flags.size() == 1 && product.has_flag("deadline") && !product.has_flag("dark"));
  REQUIRE(product.bundle.name == "unet_h" && product.bundle.version == "0.1.0" && product.mode == "UNetH");
  REQUIRE(product.gamma == 3.0 && product.uncertainty_threshold == 0.91 && product.seed == (1ull << 63) + 11);
  REQUIRE(product.timing_ms.center == 1.25 && product.timing_ms.publish == 0.75);
  REQUIRE(product.passes_requested == 20 && product.passes_used == 17);
  REQUIRE(product.map_to_sensor[0] == 4.0 && product.map_to_sensor[2] == 101.5);
  REQUIRE(product.classes.size() == 3 && product.classes[2].role == "hazard");
  const rubblemap::Plane* entropy = product.plane("predictive_entropy");
  REQUIRE(entropy != nullptr && entropy->units == "nat");
  REQUIRE(entropy->shape.size() == 2 && entropy->shape[0] == 4 && entropy->shape[1] == 6);
  for (std::size_t i = 0; i < 24; ++i) {
    REQUIRE(rubblemap::half_to_float(entropy->bytes.data + 2 * i) == (static_cast<float>(i) + 1.0f) / 32.0f);
  }
  const auto full_parts = read_vector(folder + "/map_full.bin");
  const rubblemap::Product full = decode(full_parts);
  const auto& shape = full.plane("mean_probability")->shape;
  REQUIRE(shape.size() == 3 && shape[0] == 3 && shape[1] == 4 && shape[2] == 6);
  auto damaged = parts;
  damaged[2][0] ^= 1;
  try {
    decode(damaged);
    REQUIRE(!"refused");
  } catch (const rubblemap::ProductError& error) {
    REQUIRE(error.reason == rubblemap::Reason::crc_mismatch && error.what()[0] != '\0');
  }
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
