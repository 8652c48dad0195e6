#include <algorithm>
#include <array>
#include <cmath>

#include "map_view.hpp"

namespace rubblemap::consumers {
namespace {

constexpr double degrees_per_radian = 180.0 / pi;

double angle_deg(Vector direction) noexcept { return std::atan2(direction.y, direction.x) * degrees_per_radian; }

// Weighted sums of squares and products of differences.
void add_scatter(Spread& sum, double weight, double du, double dv) noexcept {
  sum.xx += weight * du * du;
  sum.xy += weight * du * dv;
  sum.yy += weight * dv * dv;
}

// Labels the 8-connected component of `start`, whose pixels have label 0 before; returns its number of pixels.
std::uint32_t fill_component(const MapView& view, std::uint32_t* labels, std::uint32_t* queue, std::size_t start,
                             std::uint32_t label, const std::uint8_t* body) noexcept {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  labels[start] = label;
  queue[last++] = static_cast<std::uint32_t>(start);
  while (first < last) {
    const std::uint32_t row = queue[first] / view.width;
    const std::uint32_t column = queue[first] % view.width;
    ++first;
    const std::uint32_t bottom = std::min(row + 1, view.height - 1);
    const std::uint32_t right = std::min(column + 1, view.width - 1);
    for (std::uint32_t v = row - (row > 0 ? 1u : 0u); v <= bottom; ++v) {
      for (std::uint32_t u = column - (column > 0 ? 1u : 0u); u <= right; ++u) {
        const std::size_t neighbour = static_cast<std::size_t>(v) * view.width + u;
        if (body[neighbour] != 0 && labels[neighbour] == 0) {
          labels[neighbour] = label;
          queue[last++] = static_cast<std::uint32_t>(neighbour);
        }
      }
    }
  }
  return last;
}

// Leaves in `body` only the largest 8-connected component, of equal ones that whose first pixel comes first in raster
// order; returns its number of pixels.
std::uint32_t keep_largest_component(const MapView& view, std::uint8_t* body, const Scratch& scratch) noexcept {
  std::uint32_t* labels = scratch.words(0);
  std::fill(labels, labels + view.pixels, 0u);
  std::uint32_t label = 0;
  std::uint32_t best = 0;
  std::uint32_t largest = 0;
  for (std::size_t pixel = 0; pixel < view.pixels; ++pixel) {
    if (body[pixel] == 0 || labels[pixel] != 0) continue;
    const std::uint32_t size = fill_component(view, labels, scratch.words(1), pixel, ++label, body);
    if (size > largest) {
      largest = size;
      best = label;
    }
  }
  for (std::size_t pixel = 0; pixel < view.pixels; ++pixel) {
    body[pixel] = best != 0 && labels[pixel] == best ? std::uint8_t{1} : std::uint8_t{0};
  }
  return largest;
}

// Pixels within limb_reach (Chebyshev) of the body, as 1. rows: scratch of the same size.
void widen(const MapView& view, const std::uint8_t* body, std::uint8_t* rows, std::uint8_t* near) noexcept {
  const auto within = [](std::uint32_t middle, std::uint32_t length) {
    return std::array<std::uint32_t, 2>{middle - std::min(middle, limb_reach),
                                        std::min(middle + limb_reach, length - 1)};
  };
  for (std::uint32_t row = 0; row < view.height; ++row) {
    const std::size_t begin = static_cast<std::size_t>(row) * view.width;
    for (std::uint32_t column = 0; column < view.width; ++column) {
      const auto [low, high] = within(column, view.width);
      std::uint8_t found = 0;
      for (std::uint32_t u = low; u <= high; ++u) found = std::max(found, body[begin + u]);
      rows[begin + column] = found;
    }
  }
  for (std::uint32_t row = 0; row < view.height; ++row) {
    const auto [low, high] = within(row, view.height);
    for (std::uint32_t column = 0; column < view.width; ++column) {
      std::uint8_t found = 0;
      for (std::uint32_t v = low; v <= high; ++v) {
        found = std::max(found, rows[static_cast<std::size_t>(v) * view.width + column]);
      }
      near[static_cast<std::size_t>(row) * view.width + column] = found;
    }
  }
}

// Whether all eight neighbours of a pixel were seen; nothing was beyond the map's border.
bool is_surrounded(const MapView& view, const std::uint8_t* class_map, std::size_t pixel) noexcept {
  const auto row = static_cast<std::uint32_t>(pixel / view.width);
  const auto column = static_cast<std::uint32_t>(pixel % view.width);
  if (row == 0 || column == 0 || row + 1 == view.height || column + 1 == view.width) return false;
  for (std::uint32_t v = row - 1; v <= row + 1; ++v) {
    for (std::uint32_t u = column - 1; u <= column + 1; ++u) {
      if (!view.is_class(class_map[static_cast<std::size_t>(v) * view.width + u])) return false;
    }
  }
  return true;
}

// Sums over the pixels of a part of the map.
struct Moments {
  double count = 0.0;
  double u = 0.0;
  double v = 0.0;
};

template <typename Chosen>
Moments moments(const MapView& view, Chosen chosen) noexcept {
  Moments sum;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    if (!chosen(pixel)) return;
    sum.count += 1.0;
    sum.u += u;
    sum.v += v;
  });
  return sum;
}

// The body's mean relative entropy, and how far its centroid moves, in map pixels, when its pixels count only as far as
// they are certain. The uncertainty of a whole side, mostly the night side, goes together, and does not average out.
// False when no pixel is certain.
bool measure_certainty(const MapView& view, const std::uint8_t* body, const double* entropy, double& mean_entropy,
                       Vector& shift) noexcept {
  const Moments whole = moments(view, [&](std::size_t pixel) { return body[pixel] != 0; });
  Moments certain;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    if (body[pixel] == 0) return;
    const double certainty = 1.0 - entropy[pixel];
    certain.count += certainty;
    certain.u += certainty * u;
    certain.v += certainty * v;
  });
  if (!(certain.count > 0.0)) return false;
  mean_entropy = 1.0 - certain.count / whole.count;
  shift = {whole.u / whole.count - certain.u / certain.count, whole.v / whole.count - certain.v / certain.count};
  return true;
}

SunDirection direction(Vector unit, SunSource source, double strength, bool sign_known) noexcept {
  return {source, unit.x, unit.y, angle_deg(unit), strength, sign_known};
}

// From the side on which the networks are unsure to that on which they are sure; else off the terminator. Networks that
// see a dark sky behind a dark surface are unsure of the night side. Where entropy does not tell, the larger part of
// the body, seen from the terminator, is the lit one, as phase angles below 90 degrees have it.
SunDirection sun_direction(const MapView& view, const std::uint8_t* body, const std::uint8_t* class_map,
                           const double* entropy, std::uint32_t body_pixels, std::uint32_t terminator_pixels) noexcept {
  if (terminator_pixels < least_terminator_pixels) return {};
  const auto in_terminator = [&](std::size_t pixel) {
    return body[pixel] != 0 && view.has_role(class_map[pixel], Role::terminator);
  };
  const auto plain = [&](std::size_t pixel) {
    return body[pixel] != 0 && !view.has_role(class_map[pixel], Role::terminator);
  };
  const auto size = static_cast<double>(body_pixels);
  const double radius = std::sqrt(size * view.affine.pixel_area() / pi);

  double weight = 0.0;
  double weighted_u = 0.0;
  double weighted_v = 0.0;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    if (!plain(pixel)) return;
    weight += entropy[pixel];
    weighted_u += entropy[pixel] * u;
    weighted_v += entropy[pixel] * v;
  });
  if (weight > 0.0) {
    const Moments sum = moments(view, plain);
    const Vector away =
        view.affine.offset(sum.u / sum.count - weighted_u / weight, sum.v / sum.count - weighted_v / weight);
    const double length = std::sqrt(away.x * away.x + away.y * away.y);
    if (length / radius >= least_entropy_strength) {
      return direction({away.x / length, away.y / length}, SunSource::entropy, length / radius, true);
    }
  }

  const Moments terminator = moments(view, in_terminator);
  const Moments whole = moments(view, [&](std::size_t pixel) { return body[pixel] != 0; });
  const double mean_u = terminator.u / terminator.count;
  const double mean_v = terminator.v / terminator.count;
  Spread scatter;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    if (in_terminator(pixel)) add_scatter(scatter, 1.0, u - mean_u, v - mean_v);
  });
  const Vector along =
      view.affine.spread({scatter.xx / terminator.count, scatter.xy / terminator.count, scatter.yy / terminator.count})
          .major_axis();
  const Vector offset = view.affine.offset(whole.u / size - mean_u, whole.v / size - mean_v);
  Vector normal{-along.y, along.x};
  double projection = offset.x * normal.x + offset.y * normal.y;
  if (projection < 0.0) {
    normal = {-normal.x, -normal.y};
    projection = -projection;
  }
  const double strength = projection / radius;
  return direction(normal, SunSource::terminator, strength, strength >= least_terminator_strength);
}

}  // namespace

std::string_view name_of(SunSource source) noexcept {
  switch (source) {
    case SunSource::entropy: return "entropy";
    case SunSource::terminator: return "terminator";
    case SunSource::none: break;
  }
  return "none";
}

Refusal navigation_fix(const NavigationMap& map, Workspace& workspace, NavigationFix& fix) noexcept {
  const Refusal refusal = check_map(map.header, workspace, &FlagDefinition::forbids_navigation_fix);
  if (refusal != Refusal::none) return refusal;
  if (map.class_map == nullptr || map.predictive_entropy == nullptr) return Refusal::malformed_input;
  const MapView view = view_of(map.header);
  const Scratch scratch(workspace);
  std::uint8_t* body = scratch.bytes(0);
  for (std::size_t pixel = 0; pixel < view.pixels; ++pixel) {
    body[pixel] = view.is_body(map.class_map[pixel]) ? std::uint8_t{1} : std::uint8_t{0};
  }
  const std::uint32_t body_pixels = keep_largest_component(view, body, scratch);
  if (body_pixels == 0) return Refusal::no_body;

  // The labels have served: their memory holds the half-widened body.
  std::uint8_t* near = scratch.bytes(1);
  widen(view, body, reinterpret_cast<std::uint8_t*>(scratch.words(0)), near);
  double* entropy = scratch.doubles(0);
  double* probability = scratch.doubles(1);
  for (std::size_t pixel = 0; pixel < view.pixels; ++pixel) {
    entropy[pixel] = unit_range(half_at(map.predictive_entropy, pixel) / view.largest_entropy);
    const double half = 0.5 * entropy[pixel];
    const bool background = view.has_role(map.class_map[pixel], Role::background);
    probability[pixel] = body[pixel] != 0 ? 1.0 - half : (background && near[pixel] != 0 ? half : 0.0);
  }

  double mean_entropy = 0.0;
  Vector shift{};
  if (!measure_certainty(view, body, entropy, mean_entropy, shift)) return Refusal::no_certainty;

  NavigationFix result;
  double weight = 0.0;
  double sum_u = 0.0;
  double sum_v = 0.0;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    weight += probability[pixel];
    sum_u += probability[pixel] * u;
    sum_v += probability[pixel] * v;
    if (body[pixel] == 0) return;
    if (view.has_role(map.class_map[pixel], Role::terminator)) ++result.terminator_pixels;
    if (!is_surrounded(view, map.class_map, pixel)) ++result.edge_pixels;
  });
  const double mean_u = sum_u / weight;
  const double mean_v = sum_v / weight;
  Spread error;
  Spread shape;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    const double p = probability[pixel];
    add_scatter(error, p * (1.0 - p), u - mean_u, v - mean_v);
    add_scatter(shape, p, u - mean_u, v - mean_v);
  });
  const double square = weight * weight;
  const double length = correlation_length * std::max(least_relative_entropy, mean_entropy);
  const double scale = length * length;
  const double quantization = (1.0 / 12.0) / std::max(1.0, weight);
  const Spread covariance =
      view.affine.spread({error.xx / square * scale + shift_share * shift.x * shift.x + quantization,
                          error.xy / square * scale + shift_share * shift.x * shift.y,
                          error.yy / square * scale + shift_share * shift.y * shift.y + quantization});
  const Spread second = view.affine.spread({shape.xx / weight, shape.xy / weight, shape.yy / weight});
  const Vector centre = view.affine.point(mean_u, mean_v);
  result.x = centre.x;
  result.y = centre.y;
  result.covariance_xx = covariance.xx;
  result.covariance_xy = covariance.xy;
  result.covariance_yy = covariance.yy;
  result.area = weight * view.affine.pixel_area();
  result.diameter = 2.0 * std::sqrt(result.area / pi);
  result.major_axis = 4.0 * std::sqrt(std::max(second.larger(), 0.0));
  result.minor_axis = 4.0 * std::sqrt(std::max(second.smaller(), 0.0));
  result.major_angle_deg = angle_deg(second.major_axis());
  result.body_pixels = body_pixels;
  result.sun = sun_direction(view, body, map.class_map, entropy, body_pixels, result.terminator_pixels);
  result.warnings = map.header.flags;
  fix = result;
  return Refusal::none;
}

}  // namespace rubblemap::consumers
