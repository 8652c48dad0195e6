// How long decoding and checking a map.navigation product takes: rubblemap_decode_benchmark [side [rounds]]
#include <algorithm>
#include <chrono>

#include "make_product.hpp"

int main(int argc, char** argv) {
  const auto side = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 128);
  const auto rounds = static_cast<std::size_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2000);
  REQUIRE(side >= 1 && side <= rubblemap::largest_side && rounds >= 1);
  ProductMaker maker;
  maker.height = maker.width = side;
  const Message message = maker.message();
  const auto parts = views(message);
  rubblemap::ProductDecoder decoder;
  rubblemap::Product product;
  rubblemap::Fault fault;
  std::vector<double> microseconds;
  for (std::size_t i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(decoder.decode(parts.data(), parts.size(), product, fault));
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    microseconds.push_back(took.count());
  }
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("map.navigation %u x %u: decoded and checked in %.1f us (median of %zu; 99th percentile %.1f us)\n", side,
              side, microseconds[rounds / 2], rounds, microseconds[rounds * 99 / 100]);
  return 0;
}
