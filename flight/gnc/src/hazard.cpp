#include <algorithm>
#include <cmath>

#include "map_view.hpp"

namespace rubblemap::consumers {
namespace {

// The search for landing circles over one map; circles in map pixels.
class Search {
public:
  Search(const MapView& view, const HazardMap& map, double minimum_radius_px, const LandingLimits& limits,
         const Scratch& scratch) noexcept
      : view_(view),
        map_(map),
        limits_(limits),
        scale_(view.affine.least_scale()),
        radii_(scratch.doubles(0)),
        probability_(scratch.doubles(1)),
        worst_(scratch.doubles(2)),
        state_(scratch.bytes(0)) {
    for_each_pixel(view_, [&](std::size_t pixel, double u, double v) {
      probability_[pixel] = unit_range(half_at(map_.hazard_probability, pixel));
      const double across = std::min(u, static_cast<double>(view_.width) - 1.0 - u) + 0.5;
      const double down = std::min(v, static_cast<double>(view_.height) - 1.0 - v) + 0.5;
      const double border = std::min(across, down);
      const double free = half_at(map_.clearance, pixel) * (1.0 - half_rounding) - std::sqrt(0.5);
      // Comparisons, not minimum and maximum: they leave out what is no number.
      radii_[pixel] = free > 0.0 ? (free < border ? free : border) : 0.0;
      state_[pixel] = radii_[pixel] > 0.0 && radii_[pixel] * scale_ >= minimum_radius_px ? unseen : gone;
    });
  }

  void run(std::size_t count, LandingCircles& result) noexcept {
    while (result.count < count && result.complete) {
      visits_ += 2 * static_cast<std::uint64_t>(view_.pixels);  // the two passes of this round
      const double largest = largest_radius();
      if (!(largest > 0.0)) break;
      const std::size_t best = best_of(largest, result);
      if (!result.complete || best == view_.pixels) continue;
      result.circles[result.count++] = circle(best);
      drop_overlapping(best);
    }
  }

private:
  // Binary16 may have rounded a clearance up by this part.
  static constexpr double half_rounding = 1.0 / 2048.0;
  // A candidate that was not looked into, one that was and holds, and what is no candidate (any more).
  static constexpr std::uint8_t unseen = 0;
  static constexpr std::uint8_t seen = 1;
  static constexpr std::uint8_t gone = 2;

  double largest_radius() const noexcept {
    double largest = 0.0;
    for (std::size_t pixel = 0; pixel < view_.pixels; ++pixel) {
      if (state_[pixel] != gone && radii_[pixel] > largest) largest = radii_[pixel];
    }
    return largest;
  }

  // Of the candidates of this radius, the one with the smallest worst probability, the first of equal ones. The number
  // of pixels when none of them holds, or too many were looked into.
  std::size_t best_of(double radius, LandingCircles& result) noexcept {
    std::size_t best = view_.pixels;
    for (std::size_t pixel = 0; pixel < view_.pixels; ++pixel) {
      if (state_[pixel] == gone || radii_[pixel] < radius) continue;
      if (state_[pixel] == unseen) {
        visits_ += window_of(pixel).pixels() + candidate_visits;
        if (visits_ > most_visits * std::max<std::uint64_t>(view_.pixels, least_budget_pixels)) {
          result.complete = false;
          return view_.pixels;
        }
        if (!look_into(pixel)) {
          ++result.dropped;
          continue;
        }
      }
      if (best == view_.pixels || worst_[pixel] < worst_[best]) best = pixel;
    }
    return best;
  }

  bool is_safe(std::size_t pixel) const noexcept {
    return view_.has_role(map_.enhanced_class_map[pixel], Role::safe) &&
           probability_[pixel] <= limits_.hazard_probability &&
           unit_range(half_at(map_.predictive_entropy, pixel) / view_.largest_entropy) <= limits_.entropy;
  }

  // Whether all that a candidate's circle touches is safe and within the limits; if so, its worst probability is noted.
  bool look_into(std::size_t place) noexcept {
    double worst = 0.0;
    bool holds = true;
    for_each_touched(place, [&](std::size_t pixel, std::uint32_t, std::uint32_t) {
      holds = is_safe(pixel);
      worst = std::max(worst, probability_[pixel]);
      return holds;
    });
    state_[place] = holds ? seen : gone;
    worst_[place] = worst;
    return holds;
  }

  // The part of the map in which a candidate's circle lies, bottom and right included.
  struct Window {
    std::uint32_t top, left, bottom, right;
    std::uint64_t pixels() const noexcept {
      return static_cast<std::uint64_t>(bottom - top + 1) * static_cast<std::uint64_t>(right - left + 1);
    }
  };

  Window window_of(std::size_t place) const noexcept {
    const auto row = static_cast<std::uint32_t>(place / view_.width);
    const auto column = static_cast<std::uint32_t>(place % view_.width);
    const auto reach = static_cast<std::uint32_t>(std::ceil(radii_[place] + 0.5));
    return {row - std::min(row, reach), column - std::min(column, reach), std::min(row + reach, view_.height - 1),
            std::min(column + reach, view_.width - 1)};
  }

  // Calls action(pixel, column, row) for the pixels that a candidate's circle touches, in raster order, while it says
  // to go on.
  template <typename Action>
  void for_each_touched(std::size_t place, Action action) const noexcept {
    const auto row = static_cast<std::uint32_t>(place / view_.width);
    const auto column = static_cast<std::uint32_t>(place % view_.width);
    const double radius = radii_[place];
    const Window window = window_of(place);
    for (std::uint32_t v = window.top; v <= window.bottom; ++v) {
      const double dv = beyond_half(v, row);
      for (std::uint32_t u = window.left; u <= window.right; ++u) {
        const double du = beyond_half(u, column);
        if (!(du * du + dv * dv < radius * radius)) continue;
        if (!action(static_cast<std::size_t>(v) * view_.width + u, u, v)) return;
      }
    }
  }

  // Distance from the centre to the nearest point of a pixel, along one axis.
  static double beyond_half(std::uint32_t at, std::uint32_t centre) noexcept {
    return std::max(std::fabs(static_cast<double>(at) - static_cast<double>(centre)) - 0.5, 0.0);
  }

  LandingCircle circle(std::size_t place) const noexcept {
    LandingCircle result;
    result.row = static_cast<std::uint32_t>(place / view_.width);
    result.column = static_cast<std::uint32_t>(place % view_.width);
    result.radius = radii_[place] * scale_;
    const Vector centre = view_.affine.point(result.column, result.row);
    result.x = centre.x;
    result.y = centre.y;
    result.worst_probability = -1.0;
    double sum = 0.0;
    double count = 0.0;
    for_each_touched(place, [&](std::size_t pixel, std::uint32_t column, std::uint32_t row) {
      sum += probability_[pixel];
      count += 1.0;
      if (probability_[pixel] > result.worst_probability) {
        result.worst_probability = probability_[pixel];
        const Vector worst = view_.affine.point(column, row);
        result.worst_x = worst.x;
        result.worst_y = worst.y;
        result.worst_entropy = limited(half_at(map_.predictive_entropy, pixel), view_.largest_entropy);
      }
      return true;
    });
    result.mean_probability = sum / count;
    return result;
  }

  void drop_overlapping(std::size_t place) noexcept {
    const auto column = static_cast<double>(place % view_.width);
    const std::size_t whole_rows = place / view_.width;
    const auto row = static_cast<double>(whole_rows);
    for_each_pixel(view_, [&](std::size_t pixel, double u, double v) {
      const double reach = radii_[pixel] + radii_[place];
      const double du = u - column;
      const double dv = v - row;
      if (du * du + dv * dv < reach * reach) state_[pixel] = gone;
    });
  }

  const MapView& view_;
  const HazardMap& map_;
  LandingLimits limits_;
  double scale_;
  double* radii_;
  double* probability_;
  double* worst_;
  std::uint8_t* state_;
  std::uint64_t visits_ = 0;
};

bool is_share(double value) noexcept { return value >= 0.0 && value <= 1.0; }

}  // namespace

Refusal landing_circles(const HazardMap& map, double minimum_radius_px, std::size_t count, Workspace& workspace,
                        LandingCircles& circles, const LandingLimits& limits) noexcept {
  if (!(minimum_radius_px >= 0.0 && std::isfinite(minimum_radius_px)) || count < 1 || count > most_circles ||
      !is_share(limits.hazard_probability) || !is_share(limits.entropy)) {
    return Refusal::invalid_argument;
  }
  const Refusal refusal = check_map(map.header, workspace, &FlagDefinition::forbids_landing_circles);
  if (refusal != Refusal::none) return refusal;
  if (map.hazard_probability == nullptr || map.predictive_entropy == nullptr || map.enhanced_class_map == nullptr ||
      map.clearance == nullptr) {
    return Refusal::malformed_input;
  }
  const MapView view = view_of(map.header);
  LandingCircles result;
  result.warnings = map.header.flags;
  Search(view, map, minimum_radius_px, limits, Scratch(workspace)).run(count, result);
  circles = result;
  return Refusal::none;
}

}  // namespace rubblemap::consumers
