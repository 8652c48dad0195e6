#include "map_view.hpp"

#include <memory>
#include <string_view>

namespace rubblemap::consumers {
namespace {

// By Refusal.
constexpr std::array<std::string_view, refusal_count> refusal_names = {
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
    "not_a_body",
    "saturated",
    "body_small",
};

static_assert(static_cast<std::size_t>(Refusal::body_small) + 1 == refusal_count);

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

}  // namespace

Refusal check_map(const MapHeader& header, const Workspace& workspace, bool FlagDefinition::*forbids) noexcept {
  if (!header.valid) return Refusal::invalid_product;
  for (std::size_t i = 0; i < flag_definitions.size(); ++i) {
    const bool raised = (header.flags & (Flags{1} << i)) != 0u;
    if (raised && flag_definitions[i].*forbids) return refusal_of(flag_definitions[i].name);
  }
  if (header.width == 0 || header.height == 0 || header.classes.count < 2 || header.classes.count > most_classes) {
    return Refusal::malformed_input;
  }
  const double area = Affine(header.map_to_sensor).pixel_area();
  if (!(area > 0.0 && std::isfinite(area))) return Refusal::degenerate_affine;
  if (static_cast<std::uint64_t>(header.width) * header.height > workspace.most_pixels()) return Refusal::map_too_large;
  return Refusal::none;
}

MapView view_of(const MapHeader& header) noexcept {
  MapView view{header.width,
               header.height,
               static_cast<std::size_t>(header.width) * header.height,
               Affine(header.map_to_sensor),
               std::log(static_cast<double>(header.classes.count)),
               {}};
  for (std::size_t i = 0; i < header.classes.count; ++i) view.role_bits[i] = bit_of(header.classes.roles[i]);
  return view;
}

Flags flag_of(std::string_view name) noexcept {
  std::size_t index = 0;
  while (index < flag_definitions.size() && flag_definitions[index].name != name) ++index;
  return Flags{1} << index;
}

std::string_view flag_name(std::size_t index) noexcept {
  return index < flag_definitions.size() ? flag_definitions[index].name : "unknown_flag";
}

std::string_view name_of(Refusal refusal) noexcept { return refusal_names[static_cast<std::size_t>(refusal)]; }

Workspace::Workspace(std::size_t most_pixels)
    : most_pixels_(std::min(most_pixels, std::size_t{largest_side} * largest_side)) {
  for (auto& plane : doubles_) plane = std::make_unique<double[]>(most_pixels_);
  for (auto& plane : words_) plane = std::make_unique<std::uint32_t[]>(most_pixels_);
  for (auto& plane : bytes_) plane = std::make_unique<std::uint8_t[]>(most_pixels_);
}

}  // namespace rubblemap::consumers
