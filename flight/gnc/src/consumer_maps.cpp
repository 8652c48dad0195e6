#include "rubblemap/consumer_maps.hpp"

namespace rubblemap::consumers {
namespace {

MapHeader header_of(const Product& product) noexcept {
  MapHeader header;
  if (!product.planes.empty()) {
    const auto& shape = product.planes[0].shape;
    header.height = shape[shape.size() - 2];
    header.width = shape[shape.size() - 1];
  }
  header.valid = product.status != Status::invalid;
  for (const auto& flag : product.flags) header.flags |= flag_of(flag);
  header.map_to_sensor = product.map_to_sensor;
  header.classes.count = product.classes.size();
  // The decoder has checked that an entry's index is its place.
  for (const ClassDefinition& entry : product.classes) header.classes.roles[entry.index] = entry.role;
  return header;
}

const std::uint8_t* bytes_of(const Product& product, std::string_view name) noexcept {
  const Plane* plane = product.plane(name);
  return plane == nullptr ? nullptr : plane->bytes.data;
}

}  // namespace

NavigationMap navigation_map(const Product& product) noexcept {
  NavigationMap map;
  map.header = header_of(product);
  if (product.topic != Topic::navigation) return map;
  map.class_map = bytes_of(product, "class_map");
  map.predictive_entropy = bytes_of(product, "predictive_entropy");
  return map;
}

HazardMap hazard_map(const Product& product) noexcept {
  HazardMap map;
  map.header = header_of(product);
  if (product.topic != Topic::hazard) return map;
  map.hazard_probability = bytes_of(product, "hazard_probability");
  map.predictive_entropy = bytes_of(product, "predictive_entropy");
  map.enhanced_class_map = bytes_of(product, "enhanced_class_map");
  map.clearance = bytes_of(product, "clearance");
  return map;
}

}  // namespace rubblemap::consumers
