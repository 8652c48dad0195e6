#include <algorithm>
#include <cmath>
#include <limits>

#include "map_view.hpp"
#include "rubblemap/check.hpp"

namespace rubblemap::check {
namespace {

using consumers::Affine;
using consumers::half_at;

// See flight.client.map_summary for each of these.
constexpr double rounding = 1.0 / 512.0;
constexpr double probability_slack = 0.02;
constexpr double threshold_slack = 0.02;
constexpr double clearance_rounding = 1.0 / 512.0;

// Sums over the pixels of a mask.
struct Places {
  std::uint64_t count = 0;
  std::uint64_t columns = 0;
  std::uint64_t rows = 0;

  void add(std::uint32_t column, std::uint32_t row) noexcept {
    ++count;
    columns += column;
    rows += row;
  }

  void centroid(const Affine& affine, double& x, double& y) const noexcept {
    if (count == 0) return;
    const auto number = static_cast<double>(count);
    const auto point = affine.point(static_cast<double>(columns) / number, static_cast<double>(rows) / number);
    x = point.x;
    y = point.y;
  }
};

// One map being measured.
class Measuring {
public:
  Measuring(const Product& product, const Expectation& expected) noexcept
      : product_(product),
        expected_(expected),
        affine_(product.map_to_sensor),
        classes_(product.classes.size()),
        class_map_(bytes("class_map")),
        enhanced_(bytes("enhanced_class_map")),
        shown_(class_map_ != nullptr ? class_map_ : enhanced_),
        entropy_(bytes("predictive_entropy")),
        mutual_(bytes("mutual_information")),
        hazard_(bytes("hazard_probability")),
        mean_(bytes("mean_probability")),
        clearance_(bytes("clearance")) {
    const auto& shape = product.planes[0].shape;
    s_.height = shape[shape.size() - 2];
    s_.width = shape[shape.size() - 1];
    s_.pixels = static_cast<std::uint64_t>(s_.height) * s_.width;
    for (const ClassDefinition& entry : product.classes) {
      is_class_[entry.index] = true;
      roles_[entry.index] = entry.role;
      if (entry.role == Role::safe) ++safe_;
    }
  }

  Summary run() noexcept {
    find_entropy_range();
    const double half = 0.5 + 0.5 * std::sqrt(affine_.pixel_area());
    std::size_t pixel = 0;
    for (std::uint32_t row = 0; row < s_.height; ++row) {
      for (std::uint32_t column = 0; column < s_.width; ++column, ++pixel) {
        const bool border = row == 0 || column == 0 || row + 1 == s_.height || column + 1 == s_.width;
        s_.border += border ? 1 : 0;
        add_shape(pixel, column, row, border, half);
        count_faults(pixel, column, row);
        const std::uint64_t bits = static_cast<std::uint64_t>(entropy_[2 * pixel]) |
                                   (static_cast<std::uint64_t>(entropy_[2 * pixel + 1]) << 8u);
        s_.fingerprint += bits * (static_cast<std::uint64_t>(pixel) + 1);
      }
    }
    s_.body = body_.count;
    s_.area = affine_.pixel_area() * static_cast<double>(body_.count);
    body_.centroid(affine_, s_.x, s_.y);
    s_.terminator = terminator_.count;
    terminator_.centroid(affine_, s_.terminator_x, s_.terminator_y);
    return s_;
  }

private:
  const std::uint8_t* bytes(std::string_view name) const noexcept {
    const Plane* plane = product_.plane(name);
    return plane == nullptr ? nullptr : plane->bytes.data;
  }

  bool is_safe(std::uint8_t index) const noexcept { return is_class_[index] && roles_[index] == Role::safe; }

  void find_entropy_range() noexcept {
    for (std::size_t pixel = 0; pixel < s_.pixels; ++pixel) {
      const double value = half_at(entropy_, pixel);
      if (!std::isfinite(value)) continue;
      s_.entropy_low = any_finite_ ? std::min(s_.entropy_low, value) : value;
      s_.entropy_high = any_finite_ ? std::max(s_.entropy_high, value) : value;
      any_finite_ = true;
    }
  }

  void count_faults(std::size_t pixel, std::uint32_t column, std::uint32_t row) noexcept {
    s_.unknown += is_unknown(class_map_, pixel) || is_unknown(enhanced_, pixel) ? 1 : 0;
    s_.entropy_faults += has_entropy_fault(pixel) ? 1 : 0;
    s_.probability_faults += has_probability_fault(pixel) ? 1 : 0;
    s_.class_faults += has_class_fault(pixel) ? 1 : 0;
    s_.unmarked += is_unmarked(pixel) ? 1 : 0;
    s_.clearance_faults += has_clearance_fault(pixel, column, row) ? 1 : 0;
  }

  void add_shape(std::size_t pixel, std::uint32_t column, std::uint32_t row, bool border, double half) noexcept {
    const std::uint8_t index = shown_[pixel];
    if (column > 0 && is_change(index, shown_[pixel - 1])) ++s_.changes_across;
    if (row > 0 && is_change(index, shown_[pixel - s_.width])) ++s_.changes_down;
    if (!is_class_[index] || roles_[index] == Role::background) return;
    body_.add(column, row);
    if (roles_[index] == Role::terminator) terminator_.add(column, row);
    if (border) ++s_.edge;
    if (!expected_.knows_sensor) return;
    const auto point = affine_.point(static_cast<double>(column), static_cast<double>(row));
    const bool inside = point.x >= -half && point.x <= expected_.sensor_width - 1.0 + half && point.y >= -half &&
                        point.y <= expected_.sensor_height - 1.0 + half;
    if (!inside) ++s_.outside;
  }

  // What is no class, uncertain or not seen, is left out.
  bool is_change(std::uint8_t first, std::uint8_t second) const noexcept {
    return first != second && first < classes_ && second < classes_;
  }

  bool is_unknown(const std::uint8_t* plane, std::size_t pixel) const noexcept {
    return plane != nullptr && plane[pixel] > classes_;
  }

  bool has_entropy_fault(std::size_t pixel) const noexcept {
    const double entropy = half_at(entropy_, pixel);
    const double largest = std::log(static_cast<double>(classes_)) * (1.0 + rounding);
    if (!(entropy >= 0.0 && entropy <= largest)) return true;
    if (mutual_ == nullptr) return false;
    const double mutual = half_at(mutual_, pixel);
    return !(mutual >= 0.0 && mutual <= entropy * (1.0 + rounding) + rounding);
  }

  double probability(std::size_t layer, std::size_t pixel) const noexcept {
    return half_at(mean_, layer * s_.pixels + pixel);
  }

  bool has_probability_fault(std::size_t pixel) const noexcept {
    if (hazard_ != nullptr) {
      const double hazard = half_at(hazard_, pixel);
      if (!(hazard >= 0.0 && hazard <= 1.0)) return true;
    }
    if (mean_ == nullptr) return false;
    double total = 0.0;
    for (std::size_t layer = 0; layer < classes_; ++layer) {
      const double value = probability(layer, pixel);
      if (!(value >= 0.0 && value <= 1.0)) return true;
      total += value;
    }
    return !(std::fabs(total - 1.0) <= probability_slack);
  }

  bool has_class_fault(std::size_t pixel) const noexcept {
    const std::uint8_t index = shown_[pixel];
    if (index >= classes_) return false;
    if (mean_ != nullptr) {
      double largest = probability(0, pixel);
      // What is no number makes the largest no number, as numpy's maximum does.
      for (std::size_t layer = 1; layer < classes_; ++layer) {
        const double value = probability(layer, pixel);
        if (!(value <= largest)) largest = std::isnan(largest) ? largest : value;
      }
      return !(largest - probability(index, pixel) <= probability_slack);
    }
    if (hazard_ == nullptr) return false;
    const double hazard = half_at(hazard_, pixel);
    const auto others = static_cast<double>(classes_ - safe_);
    if (is_safe(index)) return !(hazard <= others / (1.0 + others) + probability_slack);
    return !(hazard >= 1.0 / (1.0 + static_cast<double>(safe_)) - probability_slack);
  }

  bool is_unmarked(std::size_t pixel) const noexcept {
    if (enhanced_[pixel] >= classes_) return false;
    const double entropy = half_at(entropy_, pixel);
    if (!std::isfinite(entropy)) return true;
    if (product_.uncertain_rule == UncertainRule::risk) return entropy > product_.risk_threshold * (1.0 + rounding);
    if (!(s_.entropy_high > s_.entropy_low)) return false;
    const double relative = (entropy - s_.entropy_low) / (s_.entropy_high - s_.entropy_low);
    return relative > product_.uncertainty_threshold + threshold_slack;
  }

  static bool differ_too_much(double first, double second) noexcept {
    const double larger = std::max(first, second);
    return !(larger - std::min(first, second) <= 1.0 + larger * clearance_rounding);
  }

  bool has_clearance_fault(std::size_t pixel, std::uint32_t column, std::uint32_t row) const noexcept {
    if (clearance_ == nullptr) return false;
    const double value = half_at(clearance_, pixel);
    if (!std::isfinite(value)) return true;
    // A safe pixel over the service's limits, which the product does not tell, has no clearance either.
    if (value != 0.0 && !(is_safe(enhanced_[pixel]) && value >= 1.0)) return true;
    if (column > 0) {
      const double left = half_at(clearance_, pixel - 1);
      if (std::isnan(left) || differ_too_much(value, left)) return true;
    }
    if (row > 0) {
      const double above = half_at(clearance_, pixel - s_.width);
      if (std::isnan(above) || differ_too_much(value, above)) return true;
    }
    return false;
  }

  const Product& product_;
  const Expectation& expected_;
  const Affine affine_;
  const std::size_t classes_;
  const std::uint8_t* class_map_;
  const std::uint8_t* enhanced_;
  const std::uint8_t* shown_;
  const std::uint8_t* entropy_;
  const std::uint8_t* mutual_;
  const std::uint8_t* hazard_;
  const std::uint8_t* mean_;
  const std::uint8_t* clearance_;
  std::array<bool, 256> is_class_{};
  std::array<Role, 256> roles_{};
  std::size_t safe_ = 0;
  bool any_finite_ = false;
  Places body_;
  Places terminator_;
  Summary s_;
};

}  // namespace

Summary summarize(const Product& product, const Expectation& expected) noexcept {
  return Measuring(product, expected).run();
}

}  // namespace rubblemap::check
