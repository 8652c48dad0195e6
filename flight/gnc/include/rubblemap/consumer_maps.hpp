// From products to what the consumers work on.
#pragma once

#include "rubblemap/consumers.hpp"
#include "rubblemap/product.hpp"

namespace rubblemap::consumers {

// The map of a product of map.navigation or map.hazard: views of its planes, valid while those are. A product of
// another topic gives a map without planes, which the consumers refuse as malformed_input, or an invalid one as
// invalid_product.
NavigationMap navigation_map(const Product& product) noexcept;
HazardMap hazard_map(const Product& product) noexcept;

}  // namespace rubblemap::consumers
