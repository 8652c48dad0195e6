#include "rubblemap/consumers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "rubblemap/half.hpp"

namespace rubblemap::consumers {

// The planes of scratch memory that a call may use.
class Scratch {
public:
  explicit Scratch(Workspace& workspace) noexcept : workspace_(workspace) {}
  double* doubles(std::size_t index) const noexcept { return workspace_.doubles_[index].get(); }
  std::uint32_t* words(std::size_t index) const noexcept { return workspace_.words_[index].get(); }
  std::uint8_t* bytes(std::size_t index) const noexcept { return workspace_.bytes_[index].get(); }

private:
  Workspace& workspace_;
};

namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double degrees_per_radian = 180.0 / pi;

// By Refusal.
constexpr std::array<std::string_view, 12> refusal_names = {
    "none",
    "invalid_product",
    "body_not_found",
    "dark",
    "empty_sky",
    "high_entropy",
    "no_body",
    "no_certainty",
    "degenerate_affine",
    "malformed_input",
    "map_too_large",
    "invalid_argument",
};

static_assert(static_cast<std::size_t>(Refusal::invalid_argument) + 1 == refusal_names.size());

// The refusal of a flag's name; none when there is no such.
constexpr Refusal refusal_of(std::string_view flag) noexcept {
  for (std::size_t i = 0; i < refusal_names.size(); ++i) {
    if (refusal_names[i] == flag) return static_cast<Refusal>(i);
  }
  return Refusal::none;
}

constexpr bool every_forbidding_flag_has_a_refusal() noexcept {
  for (const FlagDefinition& flag : flag_definitions) {
    const bool forbids = flag.forbids_navigation_fix || flag.forbids_landing_circles;
    if (forbids && refusal_of(flag.name) == Refusal::none) return false;
  }
  return true;
}
static_assert(every_forbidding_flag_has_a_refusal(), "a flag of the ICD forbids a map: give it a Refusal of its name");

// Value number `index` of a plane of binary16.
double half_at(const std::uint8_t* plane, std::size_t index) noexcept {
  return static_cast<double>(half_to_float(plane + 2 * index));
}

// Limited to [0, 1]; what is no number counts as 1, the worst.
double unit_range(double value) noexcept {
  if (!(value < 1.0)) return 1.0;
  return value > 0.0 ? value : 0.0;
}

// Limited to [0, largest]; what is no number counts as the largest.
double limited(double value, double largest) noexcept {
  if (!(value < largest)) return largest;
  return value > 0.0 ? value : 0.0;
}

struct Vector {
  double x;
  double y;
};

double angle_deg(Vector direction) noexcept { return std::atan2(direction.y, direction.x) * degrees_per_radian; }

// A symmetric 2 x 2 matrix.
struct Spread {
  double xx = 0.0;
  double xy = 0.0;
  double yy = 0.0;

  double radius() const noexcept {
    const double half_difference = 0.5 * (xx - yy);
    return std::sqrt(half_difference * half_difference + xy * xy);
  }
  double larger() const noexcept { return 0.5 * (xx + yy) + radius(); }
  double smaller() const noexcept { return 0.5 * (xx + yy) - radius(); }

  // Unit vector (x >= 0) along the eigenvector of the larger eigenvalue; (1, 0) when both are equal. By half angles and
  // square roots: trigonometric functions may differ in the last bit from library to library.
  Vector major_axis() const noexcept {
    const double length = radius();
    if (!(length > 0.0)) return {1.0, 0.0};
    const double cosine = std::min(std::max(0.5 * (xx - yy) / length, -1.0), 1.0);
    const double x = std::sqrt(0.5 * (1.0 + cosine));
    const double y = std::sqrt(0.5 * (1.0 - cosine));
    return {x, xy < 0.0 ? -y : y};
  }
};

class Affine {
public:
  explicit Affine(const std::array<double, 6>& values) noexcept
      : a_(values[0]), b_(values[1]), c_(values[2]), d_(values[3]), e_(values[4]), f_(values[5]) {}

  Vector point(double u, double v) const noexcept { return {a_ * u + b_ * v + c_, d_ * u + e_ * v + f_}; }
  Vector offset(double u, double v) const noexcept { return {a_ * u + b_ * v, d_ * u + e_ * v}; }
  double pixel_area() const noexcept { return std::fabs(a_ * e_ - b_ * d_); }

  // A C A^T.
  Spread spread(const Spread& c) const noexcept {
    return {a_ * a_ * c.xx + 2.0 * a_ * b_ * c.xy + b_ * b_ * c.yy,
            a_ * d_ * c.xx + (a_ * e_ + b_ * d_) * c.xy + b_ * e_ * c.yy,
            d_ * d_ * c.xx + 2.0 * d_ * e_ * c.xy + e_ * e_ * c.yy};
  }

  // Sensor pixels of one map pixel in the direction in which the affine stretches least.
  double least_scale() const noexcept {
    const Spread gram{a_ * a_ + d_ * d_, a_ * b_ + d_ * e_, b_ * b_ + e_ * e_};
    return std::sqrt(std::max(gram.smaller(), 0.0));
  }

private:
  double a_, b_, c_, d_, e_, f_;
};

constexpr std::uint8_t bit_of(Role role) noexcept {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(role));
}
static_assert(role_count <= 8, "a bit for each role");
constexpr std::uint8_t body_roles = bit_of(Role::safe) | bit_of(Role::hazard) | bit_of(Role::terminator);

// A map that may be used: sizes checked, the role's bit by class index, 0 of an index that is no class.
struct View {
  std::uint32_t width;
  std::uint32_t height;
  std::size_t pixels;
  Affine affine;
  double largest_entropy;
  std::array<std::uint8_t, 256> role_bits;

  bool has_role(std::uint8_t index, Role role) const noexcept { return role_bits[index] == bit_of(role); }
  bool is_body(std::uint8_t index) const noexcept { return (role_bits[index] & body_roles) != 0; }
};

// forbids: the member of FlagDefinition that tells whether a flag forbids the consumer.
Refusal check(const MapHeader& header, const Workspace& workspace, bool FlagDefinition::*forbids) noexcept {
  if (!header.valid) return Refusal::invalid_product;
  for (const FlagDefinition& flag : flag_definitions) {
    if (flag.*forbids && (header.flags & flag_of(flag.name)) != 0u) return refusal_of(flag.name);
  }
  if (header.width == 0 || header.height == 0 || header.classes.count < 2 || header.classes.count > most_classes) {
    return Refusal::malformed_input;
  }
  const double area = Affine(header.map_to_sensor).pixel_area();
  if (!(area > 0.0 && std::isfinite(area))) return Refusal::degenerate_affine;
  if (static_cast<std::uint64_t>(header.width) * header.height > workspace.most_pixels()) return Refusal::map_too_large;
  return Refusal::none;
}

View view_of(const MapHeader& header) noexcept {
  View view{header.width,
            header.height,
            static_cast<std::size_t>(header.width) * header.height,
            Affine(header.map_to_sensor),
            std::log(static_cast<double>(header.classes.count)),
            {}};
  for (std::size_t i = 0; i < header.classes.count; ++i) view.role_bits[i] = bit_of(header.classes.roles[i]);
  return view;
}

// Calls action(pixel, column, row) for every pixel in raster order.
template <typename Action>
void for_each_pixel(const View& view, Action action) noexcept {
  std::size_t pixel = 0;
  for (std::uint32_t row = 0; row < view.height; ++row) {
    for (std::uint32_t column = 0; column < view.width; ++column, ++pixel) {
      action(pixel, static_cast<double>(column), static_cast<double>(row));
    }
  }
}

// Weighted sums of squares and products of differences.
void add_scatter(Spread& sum, double weight, double du, double dv) noexcept {
  sum.xx += weight * du * du;
  sum.xy += weight * du * dv;
  sum.yy += weight * dv * dv;
}

// Labels the 8-connected component of `start`, whose pixels have label 0 before; returns its number of pixels.
std::uint32_t fill_component(const View& view, std::uint32_t* labels, std::uint32_t* queue, std::size_t start,
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
std::uint32_t keep_largest_component(const View& view, std::uint8_t* body, const Scratch& scratch) noexcept {
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
void widen(const View& view, const std::uint8_t* body, std::uint8_t* rows, std::uint8_t* near) noexcept {
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

// Sums over the pixels of a part of the map.
struct Moments {
  double count = 0.0;
  double u = 0.0;
  double v = 0.0;
};

template <typename Chosen>
Moments moments(const View& view, Chosen chosen) noexcept {
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
// they are certain. The doubt of a whole side, mostly the night side, goes together: it is no error that averages out.
// False when no pixel is certain.
bool without_doubt(const View& view, const std::uint8_t* body, const double* entropy, double& doubt,
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
  doubt = 1.0 - certain.count / whole.count;
  shift = {whole.u / whole.count - certain.u / certain.count, whole.v / whole.count - certain.v / certain.count};
  return true;
}

SunDirection direction(Vector unit, SunSource source, double strength, bool sign_known) noexcept {
  return {source, unit.x, unit.y, angle_deg(unit), strength, sign_known};
}

// From the side on which the networks are unsure to that on which they are sure; else off the terminator. Networks that
// see a dark sky behind a dark surface are unsure of the night side. Where entropy does not tell, the larger part of
// the body, seen from the terminator, is the lit one, as phase angles below 90 degrees have it.
SunDirection sun_direction(const View& view, const std::uint8_t* body, const std::uint8_t* class_map,
                           const double* entropy, std::uint32_t body_pixels, std::uint32_t terminator_pixels) noexcept {
  if (terminator_pixels < least_terminator_pixels) return {};
  const auto in_terminator = [&](std::size_t pixel) {
    return body[pixel] != 0 && view.has_role(class_map[pixel], Role::terminator);
  };
  const auto plain = [&](std::size_t pixel) {
    return body[pixel] != 0 && !view.has_role(class_map[pixel], Role::terminator);
  };
  const double size = static_cast<double>(body_pixels);
  const double radius = std::sqrt(size * view.affine.pixel_area() / pi);

  double doubts = 0.0;
  double doubts_u = 0.0;
  double doubts_v = 0.0;
  for_each_pixel(view, [&](std::size_t pixel, double u, double v) {
    if (!plain(pixel)) return;
    doubts += entropy[pixel];
    doubts_u += entropy[pixel] * u;
    doubts_v += entropy[pixel] * v;
  });
  if (doubts > 0.0) {
    const Moments sum = moments(view, plain);
    const Vector away =
        view.affine.offset(sum.u / sum.count - doubts_u / doubts, sum.v / sum.count - doubts_v / doubts);
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

// The search for landing circles over one map; circles in map pixels.
class Search {
public:
  Search(const View& view, const HazardMap& map, double minimum_radius_px, const Scratch& scratch) noexcept
      : view_(view),
        map_(map),
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

  // Whether all that a candidate's circle touches is safe; if so, its worst probability is noted.
  bool look_into(std::size_t place) noexcept {
    double worst = 0.0;
    bool holds = true;
    for_each_touched(place, [&](std::size_t pixel, std::uint32_t, std::uint32_t) {
      holds = view_.has_role(map_.enhanced_class_map[pixel], Role::safe);
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
    const std::uint32_t row = static_cast<std::uint32_t>(place / view_.width);
    const std::uint32_t column = static_cast<std::uint32_t>(place % view_.width);
    const std::uint32_t reach = static_cast<std::uint32_t>(std::ceil(radii_[place] + 0.5));
    return {row - std::min(row, reach), column - std::min(column, reach), std::min(row + reach, view_.height - 1),
            std::min(column + reach, view_.width - 1)};
  }

  // Calls action(pixel, column, row) for the pixels that a candidate's circle touches, in raster order, while it says
  // to go on.
  template <typename Action>
  void for_each_touched(std::size_t place, Action action) const noexcept {
    const std::uint32_t row = static_cast<std::uint32_t>(place / view_.width);
    const std::uint32_t column = static_cast<std::uint32_t>(place % view_.width);
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
    const double column = static_cast<double>(place % view_.width);
    const double row = static_cast<double>(place / view_.width);
    for_each_pixel(view_, [&](std::size_t pixel, double u, double v) {
      const double reach = radii_[pixel] + radii_[place];
      const double du = u - column;
      const double dv = v - row;
      if (du * du + dv * dv < reach * reach) state_[pixel] = gone;
    });
  }

  const View& view_;
  const HazardMap& map_;
  double scale_;
  double* radii_;
  double* probability_;
  double* worst_;
  std::uint8_t* state_;
  std::uint64_t visits_ = 0;
};

}  // namespace

Flags flag_of(std::string_view name) noexcept {
  std::size_t index = 0;
  while (index < flag_definitions.size() && flag_definitions[index].name != name) ++index;
  return Flags{1} << index;
}

std::string_view flag_name(std::size_t index) noexcept {
  return index < flag_definitions.size() ? flag_definitions[index].name : "unknown_flag";
}

std::string_view name_of(Refusal refusal) noexcept { return refusal_names[static_cast<std::size_t>(refusal)]; }

std::string_view name_of(SunSource source) noexcept {
  switch (source) {
    case SunSource::entropy: return "entropy";
    case SunSource::terminator: return "terminator";
    case SunSource::none: break;
  }
  return "none";
}

Workspace::Workspace(std::size_t most_pixels) : most_pixels_(std::min(most_pixels, std::size_t{4096} * 4096)) {
  for (auto& plane : doubles_) plane = std::make_unique<double[]>(most_pixels_);
  for (auto& plane : words_) plane = std::make_unique<std::uint32_t[]>(most_pixels_);
  for (auto& plane : bytes_) plane = std::make_unique<std::uint8_t[]>(most_pixels_);
}

Refusal navigation_fix(const NavigationMap& map, Workspace& workspace, NavigationFix& fix) noexcept {
  const Refusal refusal = check(map.header, workspace, &FlagDefinition::forbids_navigation_fix);
  if (refusal != Refusal::none) return refusal;
  if (map.class_map == nullptr || map.predictive_entropy == nullptr) return Refusal::malformed_input;
  const View view = view_of(map.header);
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
    const double doubt = 0.5 * entropy[pixel];
    const bool background = view.has_role(map.class_map[pixel], Role::background);
    probability[pixel] = body[pixel] != 0 ? 1.0 - doubt : (background && near[pixel] != 0 ? doubt : 0.0);
  }

  double doubt = 0.0;
  Vector shift{};
  if (!without_doubt(view, body, entropy, doubt, shift)) return Refusal::no_certainty;

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
    const bool edge = u == 0.0 || v == 0.0 || u == static_cast<double>(view.width) - 1.0 ||
                      v == static_cast<double>(view.height) - 1.0;
    if (edge) ++result.edge_pixels;
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
  const double length = correlation_length * std::max(least_doubt, doubt);
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

Refusal landing_circles(const HazardMap& map, double minimum_radius_px, std::size_t count, Workspace& workspace,
                        LandingCircles& circles) noexcept {
  if (!(minimum_radius_px >= 0.0 && std::isfinite(minimum_radius_px)) || count < 1 || count > most_circles) {
    return Refusal::invalid_argument;
  }
  const Refusal refusal = check(map.header, workspace, &FlagDefinition::forbids_landing_circles);
  if (refusal != Refusal::none) return refusal;
  if (map.hazard_probability == nullptr || map.predictive_entropy == nullptr || map.enhanced_class_map == nullptr ||
      map.clearance == nullptr) {
    return Refusal::malformed_input;
  }
  const View view = view_of(map.header);
  LandingCircles result;
  result.warnings = map.header.flags;
  Search(view, map, minimum_radius_px, Scratch(workspace)).run(count, result);
  circles = result;
  return Refusal::none;
}

}  // namespace rubblemap::consumers
