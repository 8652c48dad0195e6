// Prints what the consumers make of cases read from standard input, for comparison with Python's answers.
//
// A case, little-endian: u32 kind (0 navigation, 1 hazard), u32 width, u32 height, u32 K, K bytes of roles
// (0 background, 1 safe, 2 hazard, 3 terminator), u32 valid (0 or 1), u32 flags (bits in the ICD's order), 6 f64
// map_to_sensor; of a hazard case then f64 minimum radius, u32 count and the two f64 limits; then the topic's planes in
// the ICD's order.
//
// Printed: first a line "flag NAME" for each flag and one "limits" with the two defaults. Then for each case a line
// "navigation" or "hazard", and "refused REASON", or one line "name value" for each field in the order of the Python
// classes, a circle's after a line "circle"; numbers as %.9g, warnings as flag bits.
#include "rubblemap/consumers.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace {

namespace consumers = rubblemap::consumers;

bool counting = false;
unsigned long allocations = 0;

class Input {
public:
  explicit Input(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}
  bool at_end() const { return at_ == bytes_.size(); }

  const std::uint8_t* take(std::size_t size) {
    if (size > bytes_.size() - at_) {
      std::fprintf(stderr, "case: expected %zu bytes at %zu of %zu\n", size, at_, bytes_.size());
      std::exit(2);
    }
    const std::uint8_t* data = bytes_.data() + at_;
    at_ += size;
    return data;
  }

  template <typename Value>
  Value value() {
    Value result;
    std::memcpy(&result, take(sizeof result), sizeof result);
    return result;
  }

private:
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

consumers::MapHeader read_header(Input& input) {
  consumers::MapHeader header;
  header.width = input.value<std::uint32_t>();
  header.height = input.value<std::uint32_t>();
  header.classes.count = input.value<std::uint32_t>();
  for (std::size_t i = 0; i < header.classes.count; ++i) {
    header.classes.roles.at(i) = static_cast<rubblemap::Role>(input.value<std::uint8_t>());
  }
  header.valid = input.value<std::uint32_t>() != 0;
  header.flags = input.value<std::uint32_t>();
  for (double& value : header.map_to_sensor) value = input.value<double>();
  return header;
}

void print(const char* name, double value) { std::printf("%s %.9g\n", name, value); }
void print(const char* name, std::uint32_t value) { std::printf("%s %u\n", name, value); }

bool print_refusal(consumers::Refusal refusal) {
  if (refusal == consumers::Refusal::none) return false;
  const std::string_view name = consumers::name_of(refusal);
  std::printf("refused %.*s\n", static_cast<int>(name.size()), name.data());
  return true;
}

void print_fix(const consumers::NavigationFix& fix) {
  print("x", fix.x);
  print("y", fix.y);
  print("covariance_xx", fix.covariance_xx);
  print("covariance_xy", fix.covariance_xy);
  print("covariance_yy", fix.covariance_yy);
  print("area", fix.area);
  print("diameter", fix.diameter);
  print("major_axis", fix.major_axis);
  print("minor_axis", fix.minor_axis);
  print("major_angle_deg", fix.major_angle_deg);
  print("body_pixels", fix.body_pixels);
  print("terminator_pixels", fix.terminator_pixels);
  print("edge_pixels", fix.edge_pixels);
  const std::string_view source = consumers::name_of(fix.sun.source);
  std::printf("sun %.*s\n", static_cast<int>(source.size()), source.data());
  if (fix.sun.source != consumers::SunSource::none) {
    print("sun_x", fix.sun.x);
    print("sun_y", fix.sun.y);
    print("sun_angle_deg", fix.sun.angle_deg);
    print("sun_strength", fix.sun.strength);
    print("sun_sign_known", std::uint32_t{fix.sun.sign_known});
  }
  print("warnings", fix.warnings);
}

void print_circles(const consumers::LandingCircles& found) {
  for (std::size_t i = 0; i < found.count; ++i) {
    const consumers::LandingCircle& circle = found.circles[i];
    std::puts("circle");
    print("x", circle.x);
    print("y", circle.y);
    print("radius", circle.radius);
    print("column", circle.column);
    print("row", circle.row);
    print("worst_probability", circle.worst_probability);
    print("worst_x", circle.worst_x);
    print("worst_y", circle.worst_y);
    print("worst_entropy", circle.worst_entropy);
    print("mean_probability", circle.mean_probability);
  }
  print("dropped", found.dropped);
  print("complete", std::uint32_t{found.complete});
  print("warnings", found.warnings);
}

void answer_navigation(Input& input, consumers::Workspace& workspace) {
  std::puts("navigation");
  consumers::NavigationMap map;
  map.header = read_header(input);
  const std::size_t pixels = static_cast<std::size_t>(map.header.width) * map.header.height;
  map.class_map = input.take(pixels);
  input.take(pixels);  // the enhanced class map
  map.predictive_entropy = input.take(2 * pixels);
  consumers::NavigationFix fix;
  counting = true;
  const consumers::Refusal refusal = consumers::navigation_fix(map, workspace, fix);
  counting = false;
  if (!print_refusal(refusal)) print_fix(fix);
}

void answer_hazard(Input& input, consumers::Workspace& workspace) {
  std::puts("hazard");
  consumers::HazardMap map;
  map.header = read_header(input);
  const double minimum_radius = input.value<double>();
  const std::size_t count = input.value<std::uint32_t>();
  consumers::LandingLimits limits;
  limits.hazard_probability = input.value<double>();
  limits.entropy = input.value<double>();
  const std::size_t pixels = static_cast<std::size_t>(map.header.width) * map.header.height;
  map.hazard_probability = input.take(2 * pixels);
  map.predictive_entropy = input.take(2 * pixels);
  map.enhanced_class_map = input.take(pixels);
  map.clearance = input.take(2 * pixels);
  consumers::LandingCircles circles;
  counting = true;
  const consumers::Refusal refusal = consumers::landing_circles(map, minimum_radius, count, workspace, circles, limits);
  counting = false;
  if (!print_refusal(refusal)) print_circles(circles);
}

// Refusals that are the caller's doing, which Python's types leave no room for.
int check_misuse() {
  consumers::Workspace workspace(16);
  std::vector<std::uint8_t> plane(64, 0);
  consumers::NavigationMap map;
  map.header.width = map.header.height = 5;
  map.header.valid = true;
  map.header.map_to_sensor = {1.0, 0.0, 0.0, 0.0, 1.0, 0.0};
  map.header.classes.count = 2;
  map.header.classes.roles[1] = rubblemap::Role::safe;
  map.class_map = map.predictive_entropy = plane.data();
  consumers::NavigationFix fix;
  fix.x = 42.0;
  if (consumers::navigation_fix(map, workspace, fix) != consumers::Refusal::map_too_large) return 1;
  map.header.width = map.header.height = 4;
  if (consumers::navigation_fix(map, workspace, fix) != consumers::Refusal::no_body) return 2;
  map.class_map = nullptr;
  if (consumers::navigation_fix(map, workspace, fix) != consumers::Refusal::malformed_input) return 3;
  map.class_map = plane.data();
  map.header.classes.count = 65;
  if (consumers::navigation_fix(map, workspace, fix) != consumers::Refusal::malformed_input) return 4;
  if (fix.x != 42.0) return 5;
  consumers::HazardMap hazard;
  hazard.header = map.header;
  consumers::LandingCircles circles;
  if (consumers::landing_circles(hazard, -1.0, 1, workspace, circles) != consumers::Refusal::invalid_argument) return 6;
  if (consumers::landing_circles(hazard, 1.0, 17, workspace, circles) != consumers::Refusal::invalid_argument) return 7;
  for (const consumers::LandingLimits& limits :
       {consumers::LandingLimits{-0.1, 0.5}, consumers::LandingLimits{0.5, 1.1},
        consumers::LandingLimits{std::nan(""), 0.5}}) {
    if (consumers::landing_circles(hazard, 1.0, 1, workspace, circles, limits) !=
        consumers::Refusal::invalid_argument) {
      return 11;
    }
  }
  hazard.header.classes.count = 2;
  if (consumers::landing_circles(hazard, 1.0, 1, workspace, circles) != consumers::Refusal::malformed_input) return 8;
  if (consumers::flag_of("body_cut") != 1u << 7 || consumers::flag_name(7) != "body_cut") return 9;
  if (consumers::flag_of("no such flag") != 1u << 15 || consumers::flag_name(99) != "unknown_flag") return 10;
  return 0;
}

}  // namespace

// Every allocation of this program comes through here, so that the ones within a call can be counted. Not inlined: GCC
// would see malloc and operator delete, and warn of a mismatch that is none.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main() {
  if (const int failed = check_misuse()) {
    std::fprintf(stderr, "misuse %d was not refused as expected\n", failed);
    return 1;
  }
  std::vector<std::uint8_t> bytes;
  std::uint8_t block[65536];
  while (const std::size_t got = std::fread(block, 1, sizeof block, stdin)) {
    bytes.insert(bytes.end(), block, block + got);
  }
  Input input(std::move(bytes));
  for (std::size_t i = 0; i < consumers::flag_count; ++i) {
    const std::string_view name = consumers::flag_name(i);
    std::printf("flag %.*s\n", static_cast<int>(name.size()), name.data());
  }
  std::printf("limits %.9g %.9g\n", consumers::most_hazard_probability, consumers::most_entropy);
  consumers::Workspace workspace(128 * 128);
  while (!input.at_end()) {
    if (input.value<std::uint32_t>() == 0) {
      answer_navigation(input, workspace);
    } else {
      answer_hazard(input, workspace);
    }
  }
  if (allocations != 0) {
    std::fprintf(stderr, "%lu allocations within calls, expected none\n", allocations);
    return 1;
  }
  return 0;
}
