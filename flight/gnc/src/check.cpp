#include "rubblemap/check.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "map_view.hpp"

namespace rubblemap::check {
namespace {

constexpr std::array<std::string_view, rule_count> rule_names = {
    "status",
    "passes",
    "bundle",
    "order",
    "time",
    "seed",
    "unknown_class",
    "entropy_range",
    "probability_range",
    "class_probability",
    "uncertain",
    "clearance",
    "constant_map",
    "stripes",
    "ragged",
    "outside_frame",
    "edge",
    "area",
    "sun",
    "centroid_jump",
    "area_jump",
    "repeated_map",
};
static_assert(static_cast<std::size_t>(Rule::repeated_map) + 1 == rule_count);

// See flight.client.check for each of these.
constexpr std::uint64_t least_terminator_pixels = 12;
constexpr double least_sun_across = 0.2;
constexpr double least_phase_cosine = 0.5;

double seconds(std::uint64_t later_ns, std::uint64_t earlier_ns) noexcept {
  if (later_ns >= earlier_ns) return static_cast<double>(later_ns - earlier_ns) * 1e-9;
  return -(static_cast<double>(earlier_ns - later_ns) * 1e-9);
}

double part_of(std::uint64_t count, std::uint64_t all) noexcept {
  return static_cast<double>(count) / static_cast<double>(all);
}

bool forbids_navigation(const Product& product) noexcept {
  for (const FlagDefinition& flag : flag_definitions) {
    if (flag.forbids_navigation_fix && product.has_flag(flag.name)) return true;
  }
  return false;
}

double terminator_towards_sun(const Summary& s, const std::array<double, 3>& sun) noexcept {
  const double across = std::sqrt(sun[0] * sun[0] + sun[1] * sun[1]);
  if (s.terminator < least_terminator_pixels || across < least_sun_across || -sun[2] < least_phase_cosine) return 0.0;
  const double radius = std::sqrt(s.area / consumers::pi);
  if (!(radius > 0.0)) return 0.0;
  const double towards = (s.terminator_x - s.x) * sun[0] + (s.terminator_y - s.y) * sun[1];
  return towards / (across * radius);
}

}  // namespace

// One product being checked.
class Checker::Check {
public:
  Check(const Product& product, const Expectation& expected, const Limits& limits, const Kept* before) noexcept
      : p_(product), expected_(expected), limits_(limits), before_(before) {}

  void header() noexcept {
    auto worst = Status::valid;
    for (const FlagDefinition& flag : flag_definitions) {
      if (p_.has_flag(flag.name)) worst = std::max(worst, flag.status);
    }
    if (p_.status < worst) add(Rule::status, 1.0, 0.0);
    const bool fewer = p_.passes_used < p_.passes_requested;
    const bool told = p_.has_flag("deadline") || p_.has_flag("single_pass");
    const bool right = p_.passes_used >= 1 && p_.passes_used <= p_.passes_requested && (!fewer || told);
    if (p_.status != Status::invalid && !right) add(Rule::passes, 1.0, 0.0);
    if (!expected_.bundle_sha256.empty() && p_.bundle.sha256 != expected_.bundle_sha256) add(Rule::bundle, 1.0, 0.0);
  }

  void order() noexcept {
    double back = seconds(p_.received_time_ns, p_.published_time_ns);
    if (before_ != nullptr) {
      if (key(p_) <= key(*before_)) add(Rule::order, 1.0, 0.0);
      if (p_.epoch == before_->epoch) back = std::max(back, seconds(before_->capture_time_ns, p_.capture_time_ns));
    }
    if (back > limits_.time_s) add(Rule::time, back, limits_.time_s);
    if (before_ != nullptr && key(p_) != key(*before_) && p_.seed == before_->seed) add(Rule::seed, 1.0, 0.0);
  }

  void values(const Summary& s) noexcept {
    add_above(Rule::unknown_class, part_of(s.unknown, s.pixels), 0.0);
    add_above(Rule::entropy_range, part_of(s.entropy_faults, s.pixels), 0.0);
    add_above(Rule::probability_range, part_of(s.probability_faults, s.pixels), 0.0);
    add_above(Rule::class_probability, part_of(s.class_faults, s.pixels), limits_.class_probability);
    add_above(Rule::uncertain, part_of(s.unmarked, s.pixels), limits_.uncertain);
    add_above(Rule::clearance, part_of(s.clearance_faults, s.pixels), 0.0);
    const double span = s.entropy_high - s.entropy_low;
    if (span < limits_.entropy_span) add(Rule::constant_map, span, limits_.entropy_span);
  }

  void shape(const Summary& s) noexcept {
    const std::uint64_t most = std::max(s.changes_across, s.changes_down);
    const std::uint64_t least = std::min(s.changes_across, s.changes_down);
    const std::uint64_t height = s.height;
    const std::uint64_t width = s.width;
    if (most > height + width)
      add_above(Rule::stripes, part_of(most, std::max<std::uint64_t>(least, 1)), limits_.stripes);
    const std::uint64_t pairs = height * (width - 1) + (height - 1) * width;
    add_above(Rule::ragged, part_of(s.changes_across + s.changes_down, std::max<std::uint64_t>(pairs, 1)),
              limits_.ragged);
    if (s.body == 0) return;
    add_above(Rule::outside_frame, part_of(s.outside, s.body), limits_.outside_frame);
    const bool cut = p_.has_flag("body_cut");
    if (!cut) add_above(Rule::edge, part_of(s.edge, s.border), limits_.edge);
    if (cut || s.edge != 0) return;
    if (expected_.knows_area && expected_.area > 0.0 && s.area > 0.0) {
      add_above(Rule::area, std::max(s.area / expected_.area, expected_.area / s.area), limits_.area);
    }
    if (expected_.knows_sun) add_above(Rule::sun, terminator_towards_sun(s, expected_.sun), limits_.sun);
  }

  void change(const Summary& s, bool whole) noexcept {
    if (before_ == nullptr || !before_->has_map || key(p_) == key(*before_)) return;
    const Summary& former = before_->summary;
    if (whole && before_->whole && p_.epoch == before_->epoch) {
      const double between = std::max(seconds(p_.capture_time_ns, before_->capture_time_ns), 0.0);
      const double x = s.x - former.x;
      const double y = s.y - former.y;
      const double larger = std::max(s.area, former.area);
      const double diameter = 2.0 * std::sqrt(larger / consumers::pi);
      add_above(Rule::centroid_jump, std::sqrt(x * x + y * y) / diameter,
                limits_.shift + limits_.shift_per_s * between);
      add_above(Rule::area_jump, larger / std::min(s.area, former.area) - 1.0,
                limits_.growth + limits_.growth_per_s * between);
    }
    if (p_.seed != before_->seed && s.fingerprint == former.fingerprint) add(Rule::repeated_map, 1.0, 0.0);
  }

  const Findings& findings() const noexcept { return findings_; }

private:
  template <typename Of>
  static std::tuple<std::uint32_t, std::uint64_t> key(const Of& of) noexcept {
    return {of.epoch, of.frame_id};
  }

  void add(Rule rule, double value, double limit) noexcept {
    Finding* finding = findings_.add();
    if (finding != nullptr) *finding = {rule, value, limit};
  }

  void add_above(Rule rule, double value, double limit) noexcept {
    if (value > limit) add(rule, value, limit);
  }

  const Product& p_;
  const Expectation& expected_;
  const Limits& limits_;
  const Kept* before_;
  Findings findings_;
};

std::string_view name_of(Rule rule) noexcept { return rule_names[static_cast<std::size_t>(rule)]; }

Findings Checker::check(const Product& product, const Expectation& expected) noexcept {
  Kept* const before = find(product);
  Check check(product, expected, limits_, before);
  check.header();
  check.order();
  Summary summary;
  const bool has_map = !product.planes.empty();
  bool whole = false;
  if (has_map) {
    summary = summarize(product, expected);
    whole =
        summary.area > 0.0 && summary.edge == 0 && !product.has_flag("body_cut") && !product.has_flag("several_bodies");
    check.values(summary);
    if (!forbids_navigation(product)) {
      check.shape(summary);
      check.change(summary, whole);
    }
  }
  keep(product, has_map ? &summary : nullptr, whole, before);
  return check.findings();
}

Checker::Kept* Checker::find(const Product& product) noexcept {
  for (Kept& kept : kept_[static_cast<std::size_t>(product.topic)]) {
    if (kept.used && kept.source == product.source.view()) return &kept;
  }
  return nullptr;
}

void Checker::keep(const Product& product, const Summary* summary, bool whole, Kept* before) noexcept {
  Kept* place = before;
  if (place == nullptr) {
    auto& of_topic = kept_[static_cast<std::size_t>(product.topic)];
    place = &of_topic[0];
    for (Kept& kept : of_topic) {
      if (kept.since < place->since) place = &kept;  // free ones, of 0, first
    }
    place->since = ++count_;
    place->used = true;
    place->source = product.source;
  }
  place->epoch = product.epoch;
  place->frame_id = product.frame_id;
  place->capture_time_ns = product.capture_time_ns;
  place->seed = product.seed;
  place->has_map = summary != nullptr;
  place->whole = whole;
  if (summary != nullptr) place->summary = *summary;
}

}  // namespace rubblemap::check
