// How long the two consumers take over a map: rubblemap_consumers_benchmark [side [rounds]]
//
// The body is a disc with boulders and a terminator. For the landing circles also the worst there is: clearances that
// promise room for many large circles, and a map that has none, so that the search ends at its bound.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "check.hpp"
#include "rubblemap/consumers.hpp"

namespace {

namespace consumers = rubblemap::consumers;

// Binary16, little-endian, of a number from 0 to 65504; towards zero.
void put_half(std::vector<std::uint8_t>& plane, std::size_t pixel, double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // 0.5 <= fraction < 1
  std::uint32_t bits = 0;
  if (value >= 6.2e-5) {
    const auto mantissa = static_cast<std::uint32_t>((2.0 * fraction - 1.0) * 1024.0);
    bits = (static_cast<std::uint32_t>(exponent + 14) << 10) + mantissa;
  }
  plane[2 * pixel] = static_cast<std::uint8_t>(bits & 0xffu);
  plane[2 * pixel + 1] = static_cast<std::uint8_t>(bits >> 8);
}

constexpr std::uint8_t background = 0, surface = 1, boulders = 3, terminator = 4;

struct Maps {
  explicit Maps(std::uint32_t side)
      : pixels(static_cast<std::size_t>(side) * side),
        classes(pixels),
        entropy(2 * pixels),
        probability(2 * pixels),
        clearance(2 * pixels) {
    header.width = header.height = side;
    header.valid = true;
    header.map_to_sensor = {1.0, 0.0, 0.0, 0.0, 1.0, 0.0};
    header.classes.count = 5;
    header.classes.roles = {rubblemap::Role::background, rubblemap::Role::safe, rubblemap::Role::hazard,
                            rubblemap::Role::hazard, rubblemap::Role::terminator};
  }

  consumers::NavigationMap navigation() const { return {header, classes.data(), entropy.data()}; }
  consumers::HazardMap hazard() const {
    return {header, probability.data(), entropy.data(), classes.data(), clearance.data()};
  }

  std::size_t pixels;
  consumers::MapHeader header;
  std::vector<std::uint8_t> classes;
  std::vector<std::uint8_t> entropy;
  std::vector<std::uint8_t> probability;
  std::vector<std::uint8_t> clearance;
};

// Boulders lie on a lattice; the night begins right of the terminator.
Maps body(std::uint32_t side) {
  Maps maps(side);
  const double middle = 0.5 * (side - 1.0), radius = 0.4 * side;
  const std::uint32_t dusk = side * 7 / 10, night = side * 3 / 4;
  std::vector<std::array<double, 2>> rocks;
  std::size_t pixel = 0;
  for (std::uint32_t v = 0; v < side; ++v) {
    for (std::uint32_t u = 0; u < side; ++u, ++pixel) {
      const bool inside = std::hypot(u - middle, v - middle) < radius;
      const bool rock = inside && u % (side / 8) < 2 && v % (side / 6) < 2;
      maps.classes[pixel] = !inside ? background : rock ? boulders : u >= dusk && u < night ? terminator : surface;
      put_half(maps.entropy, pixel, inside ? 0.2 + 0.5 * u / side : 0.01);
      put_half(maps.probability, pixel, rock || !inside ? 0.9 : 0.05);
      if (rock) rocks.push_back({static_cast<double>(u), static_cast<double>(v)});
    }
  }
  pixel = 0;
  for (std::uint32_t v = 0; v < side; ++v) {
    for (std::uint32_t u = 0; u < side; ++u, ++pixel) {
      // To the body's edge, before the first pixel of the sky, and to the terminator.
      double nearest = radius - std::hypot(u - middle, v - middle);
      const double band = u < dusk ? dusk - u : u >= night ? u - night + 1.0 : 0.0;
      nearest = std::max(std::min(nearest, band), 0.0);
      for (const auto& rock : rocks) nearest = std::min(nearest, std::hypot(u - rock[0], v - rock[1]));
      put_half(maps.clearance, pixel, nearest);
    }
  }
  return maps;
}

// Circles about the lower middle promise room down to the last row, which alone is a hazard: a search meets it last.
Maps contradiction(std::uint32_t side) {
  Maps maps(side);
  std::size_t pixel = 0;
  for (std::uint32_t v = 0; v < side; ++v) {
    for (std::uint32_t u = 0; u < side; ++u, ++pixel) {
      const std::uint32_t below = side - 1 - v;
      maps.classes[pixel] = below == 0 ? boulders : surface;
      put_half(maps.entropy, pixel, 0.1);
      put_half(maps.probability, pixel, 0.05);
      put_half(maps.clearance, pixel, below < std::min({u, v, side - 1 - u}) ? below + 1.2 : 0.0);
    }
  }
  return maps;
}

template <typename Work>
void report(const char* what, std::uint32_t side, std::size_t rounds, Work work) {
  std::vector<double> microseconds;
  for (std::size_t i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    microseconds.push_back(took.count());
  }
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("%s %u x %u: %.0f us (median of %zu; longest %.0f us)\n", what, side, side, microseconds[rounds / 2],
              rounds, microseconds.back());
}

}  // namespace

int main(int argc, char** argv) {
  const auto side = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 128);
  const auto rounds = static_cast<std::size_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 100);
  REQUIRE(side >= 16 && side <= 1024 && rounds >= 1);
  const Maps usual = body(side);
  const Maps worst = contradiction(side);
  consumers::Workspace workspace(usual.pixels);
  report("navigation_fix", side, rounds, [&] {
    consumers::NavigationFix fix;
    REQUIRE(consumers::navigation_fix(usual.navigation(), workspace, fix) == consumers::Refusal::none);
    REQUIRE(fix.terminator_pixels > 0);
  });
  report("landing_circles", side, rounds, [&] {
    consumers::LandingCircles found;
    REQUIRE(consumers::landing_circles(usual.hazard(), 3.0, 3, workspace, found) == consumers::Refusal::none);
    REQUIRE(found.count == 3 && found.complete && found.dropped == 0);
  });
  report("landing_circles, to its bound", side, rounds, [&] {
    consumers::LandingCircles found;
    REQUIRE(consumers::landing_circles(worst.hazard(), 3.0, 3, workspace, found) == consumers::Refusal::none);
    REQUIRE(found.count == 0 && !found.complete && found.dropped > 0);
  });
  return 0;
}
