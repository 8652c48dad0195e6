// Two consumers of map products: a navigation fix, and landing circles. docs/gnc.md states the equations.
//
// The same calculation in Python: flight/client/navigation.py and hazard.py. Both work in IEEE doubles and add in
// raster order, so that they agree to the last printed digit; compile with -ffp-contract=off where the processor fuses.
// Nothing here allocates but the Workspace when it is made, and nothing throws. A fix takes a fixed number of passes
// over the map, a search for circles at most most_visits of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "rubblemap/icd.hpp"

namespace rubblemap::consumers {

// The class table of a product. count: K. roles: by index; what lies behind means nothing.
struct ClassRoles {
  std::size_t count = 0;
  std::array<Role, most_classes> roles{};
};

// The product flags of the ICD in its order, as bits, and behind them one for all that are not among them.
using Flags = std::uint32_t;
inline constexpr std::size_t flag_count = flag_definitions.size() + 1;
static_assert(flag_count <= 32, "a bit for each flag");
// The bit of a flag's name.
Flags flag_of(std::string_view name) noexcept;
// The name of the flag number `index` below flag_count: bit 1 << index. "unknown_flag" for the last one.
std::string_view flag_name(std::size_t index) noexcept;

// What the two have in common. valid: false for a product of status invalid. map_to_sensor: sensor x = a u + b v + c,
// y = d u + e v + f, pixel centres at integers.
struct MapHeader {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  bool valid = false;
  Flags flags = 0;
  std::array<double, 6> map_to_sensor{};
  ClassRoles classes;
};

// A product of map.navigation. Planes as they came: row-major, height * width, u8 or little-endian binary16 (nats).
struct NavigationMap {
  MapHeader header;
  const std::uint8_t* class_map = nullptr;
  const std::uint8_t* predictive_entropy = nullptr;
};

// A product of map.hazard, likewise.
struct HazardMap {
  MapHeader header;
  const std::uint8_t* hazard_probability = nullptr;
  const std::uint8_t* predictive_entropy = nullptr;
  const std::uint8_t* enhanced_class_map = nullptr;
  const std::uint8_t* clearance = nullptr;
};

// Why there is no answer; none: there is one. malformed_input, map_too_large and invalid_argument are the caller's
// doing.
enum class [[nodiscard]] Refusal : std::uint8_t{
    none,
    invalid_product,
    body_not_found,
    dark,
    empty_sky,
    high_entropy,
    no_body,
    no_certainty,
    degenerate_affine,
    malformed_input,
    map_too_large,
    invalid_argument,
    // Numbers are never given anew: what came later follows.
    not_a_body,
    saturated,
    body_small,
};
inline constexpr std::size_t refusal_count = 15;
std::string_view name_of(Refusal refusal) noexcept;

// Scratch memory for maps of at most `most_pixels`, 34 bytes a pixel; allocated here, once. One call at a time.
class Workspace {
public:
  explicit Workspace(std::size_t most_pixels);
  std::size_t most_pixels() const noexcept { return most_pixels_; }

private:
  friend class Scratch;
  std::size_t most_pixels_;
  std::array<std::unique_ptr<double[]>, 3> doubles_;
  std::array<std::unique_ptr<std::uint32_t[]>, 2> words_;
  std::array<std::unique_ptr<std::uint8_t[]>, 2> bytes_;
};

// Where the sun is, seen in the image: see flight.client.navigation.SunDirection.
enum class SunSource : std::uint8_t { none, entropy, terminator };
std::string_view name_of(SunSource source) noexcept;
struct SunDirection {
  SunSource source = SunSource::none;  // none: the map shows no terminator, and the rest means nothing
  double x = 0.0;
  double y = 0.0;
  double angle_deg = 0.0;
  double strength = 0.0;
  bool sign_known = false;
};

// Map pixels over which the errors of neighbouring pixels of a limb go together, over the body's mean relative entropy;
// and the part of the certainty shift that counts, as a variance. Chosen on D-1's validation split.
inline constexpr double correlation_length = 50.0;
inline constexpr double shift_share = 0.5;
// Least mean relative entropy of the maps that they were chosen on; below it, the error is not assumed to fall further.
inline constexpr double least_relative_entropy = 0.06;
[[deprecated("least_relative_entropy")]] inline constexpr double least_doubt = least_relative_entropy;
// Background this near to the body (Chebyshev, map pixels) may belong to it.
inline constexpr std::uint32_t limb_reach = 3;
inline constexpr std::uint32_t least_terminator_pixels = 12;
inline constexpr double least_entropy_strength = 0.01;
inline constexpr double least_terminator_strength = 0.25;

// The largest body of a map, sensor pixels: see flight.client.navigation.NavigationFix.
struct NavigationFix {
  double x = 0.0;
  double y = 0.0;
  double covariance_xx = 0.0;
  double covariance_xy = 0.0;
  double covariance_yy = 0.0;
  double area = 0.0;
  double diameter = 0.0;
  double major_axis = 0.0;
  double minor_axis = 0.0;
  double major_angle_deg = 0.0;
  std::uint32_t body_pixels = 0;
  std::uint32_t terminator_pixels = 0;
  std::uint32_t edge_pixels = 0;
  SunDirection sun;
  Flags warnings = 0;
};

// Writes `fix` and returns Refusal::none, or says why there is none and leaves `fix` as it was.
Refusal navigation_fix(const NavigationMap& map, Workspace& workspace, NavigationFix& fix) noexcept;

inline constexpr std::size_t most_circles = 16;
// What one search may cost: so many looks at a pixel for each pixel of the map, and never less than least_budget_pixels
// have, as in a small or narrow map most pixels may tie; a candidate costs its window's pixels and candidate_visits
// more.
inline constexpr std::uint64_t most_visits = 256;
inline constexpr std::uint64_t least_budget_pixels = std::uint64_t{128} * 128;
inline constexpr std::uint64_t candidate_visits = 1024;

// A disc of certain, safe ground, sensor pixels: see flight.client.hazard.LandingCircle.
struct LandingCircle {
  double x = 0.0;
  double y = 0.0;
  double radius = 0.0;
  std::uint32_t column = 0;
  std::uint32_t row = 0;
  double worst_probability = 0.0;
  double worst_x = 0.0;
  double worst_y = 0.0;
  double worst_entropy = 0.0;
  double mean_probability = 0.0;
};

// What no pixel that a circle touches may exceed: the hazard probability, and the predictive entropy over ln K; 0..1.
// Unless told otherwise as in the service, and in Python.
inline constexpr double most_hazard_probability = default_most_hazard_probability;
inline constexpr double most_entropy = default_most_entropy;
struct LandingLimits {
  double hazard_probability = most_hazard_probability;
  double entropy = most_entropy;
};

// Circles, the largest first, none overlapping another. dropped: candidates whose clearance promised room that the map
// and the limits do not allow. complete: false when most_visits ended the search; the circles found until then hold.
struct LandingCircles {
  std::size_t count = 0;
  std::array<LandingCircle, most_circles> circles{};
  std::uint32_t dropped = 0;
  bool complete = true;
  Flags warnings = 0;
};

// Up to `count` (1..most_circles) circles of at least `minimum_radius_px` sensor pixels; as navigation_fix otherwise.
Refusal landing_circles(const HazardMap& map, double minimum_radius_px, std::size_t count, Workspace& workspace,
                        LandingCircles& circles, const LandingLimits& limits = LandingLimits()) noexcept;

}  // namespace rubblemap::consumers
