// What both consumers read from a map: sizes, class roles, the affine to the sensor, and whether to use it at all.
// The Python counterpart is flight/client/map_view.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "rubblemap/consumers.hpp"
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

inline constexpr double pi = 3.14159265358979323846;

// Value number `index` of a plane of binary16.
inline double half_at(const std::uint8_t* plane, std::size_t index) noexcept {
  return static_cast<double>(half_to_float(plane + 2 * index));
}

// Limited to [0, largest]; what is no number counts as the largest.
inline double limited(double value, double largest) noexcept {
  if (!(value < largest)) return largest;
  return value > 0.0 ? value : 0.0;
}

// Limited to [0, 1]; what is no number counts as 1, the worst.
inline double unit_range(double value) noexcept { return limited(value, 1.0); }

struct Vector {
  double x;
  double y;
};

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
inline constexpr std::uint8_t body_roles = bit_of(Role::safe) | bit_of(Role::hazard) | bit_of(Role::terminator);

// A map that may be used: sizes checked, the role's bit by class index, 0 of an index that is no class.
struct MapView {
  std::uint32_t width;
  std::uint32_t height;
  std::size_t pixels;
  Affine affine;
  double largest_entropy;
  std::array<std::uint8_t, 256> role_bits;

  bool has_role(std::uint8_t index, Role role) const noexcept { return role_bits[index] == bit_of(role); }
  bool is_body(std::uint8_t index) const noexcept { return (role_bits[index] & body_roles) != 0; }
  // Whether a value is that of a class; if not, the camera did not see the pixel, or it is uncertain.
  bool is_class(std::uint8_t index) const noexcept { return role_bits[index] != 0; }
};

// Whether a consumer may use the map, or why not. forbids: the member of FlagDefinition that tells whether a flag
// forbids it.
[[nodiscard]] Refusal check_map(const MapHeader& header, const Workspace& workspace,
                                bool FlagDefinition::*forbids) noexcept;

// The view of a map that passed the check.
MapView view_of(const MapHeader& header) noexcept;

// Calls action(pixel, column, row) for every pixel in raster order.
template <typename Action>
void for_each_pixel(const MapView& view, Action action) noexcept {
  std::size_t pixel = 0;
  for (std::uint32_t row = 0; row < view.height; ++row) {
    for (std::uint32_t column = 0; column < view.width; ++column, ++pixel) {
      action(pixel, static_cast<double>(column), static_cast<double>(row));
    }
  }
}

}  // namespace rubblemap::consumers
