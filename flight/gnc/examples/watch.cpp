// Subscribes to map.hazard and prints, for each product, the sensor pixel that is farthest from any hazard.
//   rubblemap_watch [ENDPOINT [COUNT [KEYS [HEIGHT WIDTH]]]]
#include "arguments.hpp"

namespace {

void print(const rubblemap::Product& product) {
  const rubblemap::Plane* clearance = product.plane("clearance");
  if (clearance == nullptr) {
    std::printf("frame %llu: no map\n", static_cast<unsigned long long>(product.frame_id));
    return;
  }
  const std::size_t width = clearance->shape[1];
  std::size_t best = 0;
  float farthest = -1.0f;
  for (std::size_t i = 0; i < clearance->bytes.size / 2; ++i) {
    const float value = rubblemap::half_to_float(clearance->bytes.data + 2 * i);
    if (value > farthest) {
      farthest = value;
      best = i;
    }
  }
  const double u = static_cast<double>(best % width);
  const double v = static_cast<double>(best / width);
  const auto& m = product.map_to_sensor;
  std::printf("frame %llu: clearance %.1f map px at sensor pixel %.1f %.1f\n",
              static_cast<unsigned long long>(product.frame_id), static_cast<double>(farthest),
              m[0] * u + m[1] * v + m[2], m[3] * u + m[4] * v + m[5]);
}

}  // namespace

int main(int argc, char** argv) { return receive_products(argc, argv, rubblemap::Topic::hazard, print); }
