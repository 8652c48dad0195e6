// A consumer's last line: cheap rules that every sound product keeps, and that many a wrong one breaks.
//
// The same rules with the same answers in Python: flight/client/check.py and map_summary.py, where each limit and
// measure is described; docs/gnc.md states the rules. Nothing here is called by the receiver, allocates or throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rubblemap/product.hpp"

namespace rubblemap::check {

enum class Rule : std::uint8_t {
  status,
  passes,
  bundle,
  order,
  time,
  seed,
  unknown_class,
  entropy_range,
  probability_range,
  class_probability,
  uncertain,
  clearance,
  constant_map,
  stripes,
  ragged,
  outside_frame,
  edge,
  area,
  sun,
  centroid_jump,
  area_jump,
  repeated_map,
};
inline constexpr std::size_t rule_count = 22;
std::string_view name_of(Rule rule) noexcept;

// What a sound product may have at most: see flight.client.check.CheckLimits.
struct Limits {
  double time_s = 0.0;
  double class_probability = 0.002;
  double uncertain = 0.001;
  double entropy_span = 0.001;  // at least
  double stripes = 8.0;
  double ragged = 0.25;
  double outside_frame = 0.02;
  double edge = 0.05;
  double area = 2.0;
  double sun = 0.4;
  double shift = 0.25;
  double shift_per_s = 0.05;
  double growth = 0.5;
  double growth_per_s = 0.1;
};

// What the consumer knows by other means; a rule whose part is not known is left out.
struct Expectation {
  bool knows_sensor = false;
  double sensor_width = 0.0;  // of the camera's frame, pixels
  double sensor_height = 0.0;
  bool knows_area = false;
  double area = 0.0;  // of the body in the frame, square sensor pixels
  bool knows_sun = false;
  std::array<double, 3> sun{};     // unit vector in the camera's axes: x right, y down, z along the line of sight
  std::string_view bundle_sha256;  // empty: not known
};

// A rule that a product breaks; value: 1 for rules that measure nothing.
struct Finding {
  Rule rule = Rule::status;
  double value = 0.0;
  double limit = 0.0;
};

// In the order of Rule, each at most once.
using Findings = List<Finding, rule_count>;

// What is looked at in a map: see flight.client.map_summary.MapSummary.
struct Summary {
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::uint64_t pixels = 0;
  std::uint64_t border = 0;
  std::uint64_t unknown = 0;
  std::uint64_t entropy_faults = 0;
  double entropy_low = 0.0;
  double entropy_high = 0.0;
  std::uint64_t probability_faults = 0;
  std::uint64_t class_faults = 0;
  std::uint64_t unmarked = 0;
  std::uint64_t clearance_faults = 0;
  std::uint64_t changes_across = 0;
  std::uint64_t changes_down = 0;
  std::uint64_t body = 0;
  std::uint64_t edge = 0;
  std::uint64_t outside = 0;
  double area = 0.0;
  double x = 0.0;
  double y = 0.0;
  std::uint64_t terminator = 0;
  double terminator_x = 0.0;
  double terminator_y = 0.0;
  std::uint64_t fingerprint = 0;
};

// Cameras whose last product of each topic is kept; the one that has been there longest gives way.
inline constexpr std::size_t sources_kept = 8;

// Checks products one after the other, each against the one of its topic and source before it. For one thread.
class Checker {
public:
  explicit Checker(const Limits& limits = {}) noexcept : limits_(limits) {}

  // The rules that a verified product breaks; none for a plausible one. Keeps what the next one is compared with.
  [[nodiscard]] Findings check(const Product& product, const Expectation& expected = {}) noexcept;

  // Forgets the products so far, as after a manoeuvre that makes the next one unlike the last.
  void forget() noexcept { kept_ = {}; }

private:
  struct Kept {
    bool used = false;
    std::uint64_t since = 0;
    Text<32> source;
    std::uint32_t epoch = 0;
    std::uint64_t frame_id = 0;
    std::uint64_t capture_time_ns = 0;
    std::uint64_t seed = 0;
    bool has_map = false;
    bool whole = false;  // neither cut nor one of several bodies
    Summary summary;
  };
  class Check;

  Kept* find(const Product& product) noexcept;
  void keep(const Product& product, const Summary* summary, bool whole, Kept* before) noexcept;

  Limits limits_;
  std::uint64_t count_ = 0;
  std::array<std::array<Kept, sources_kept>, topic_count> kept_{};
};

// Measures the map of a product with planes.
Summary summarize(const Product& product, const Expectation& expected = {}) noexcept;

}  // namespace rubblemap::check
