// Subscribes to map.navigation and prints a line for each product: the body's fix in sensor pixels, or why there is
// none.
//   rubblemap_navigation_consumer [ENDPOINT [COUNT [KEYS [HEIGHT WIDTH]]]]
#include "arguments.hpp"
#include "rubblemap/consumer_maps.hpp"

namespace consumers = rubblemap::consumers;

int main(int argc, char** argv) {
  consumers::Workspace workspace(most_pixels(argc, argv));
  return receive_products(argc, argv, rubblemap::Topic::navigation, [&workspace](const rubblemap::Product& product) {
    std::printf("frame %llu: ", static_cast<unsigned long long>(product.frame_id));
    consumers::NavigationFix fix;
    const auto refusal = consumers::navigation_fix(consumers::navigation_map(product), workspace, fix);
    if (refusal != consumers::Refusal::none) {
      std::printf("no fix: %s\n", consumers::name_of(refusal).data());
      return;
    }
    std::printf("centre %.6g %.6g covariance %.6g %.6g %.6g diameter %.6g axes %.6g %.6g angle %.6g", fix.x, fix.y,
                fix.covariance_xx, fix.covariance_xy, fix.covariance_yy, fix.diameter, fix.major_axis, fix.minor_axis,
                fix.major_angle_deg);
    if (fix.sun.source != consumers::SunSource::none) std::printf(" sun %.6g %.6g", fix.sun.x, fix.sun.y);
    std::puts("");
  });
}
