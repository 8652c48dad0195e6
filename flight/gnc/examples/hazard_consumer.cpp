// Subscribes to map.hazard and prints a line for each product: up to three landing circles of at least 4 sensor pixels,
// the largest first, as centre, radius and worst hazard probability; or why there are none.
//   rubblemap_hazard_consumer [ENDPOINT [COUNT [KEYS [HEIGHT WIDTH]]]]
#include "arguments.hpp"
#include "rubblemap/consumer_maps.hpp"

namespace consumers = rubblemap::consumers;

int main(int argc, char** argv) {
  constexpr double minimum_radius_px = 4.0;
  constexpr std::size_t most = 3;
  consumers::Workspace workspace(most_pixels(argc, argv));
  return receive_products(argc, argv, rubblemap::Topic::hazard, [&workspace](const rubblemap::Product& product) {
    std::printf("frame %llu: ", static_cast<unsigned long long>(product.frame_id));
    consumers::LandingCircles found;
    const auto refusal =
        consumers::landing_circles(consumers::hazard_map(product), minimum_radius_px, most, workspace, found);
    if (refusal != consumers::Refusal::none) {
      std::printf("no circles: %s\n", consumers::name_of(refusal).data());
      return;
    }
    std::printf("%zu circles", found.count);
    for (std::size_t i = 0; i < found.count; ++i) {
      const consumers::LandingCircle& circle = found.circles[i];
      std::printf("; %.6g %.6g radius %.6g worst %.6g", circle.x, circle.y, circle.radius, circle.worst_probability);
    }
    std::puts("");
  });
}
