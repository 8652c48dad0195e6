// What the tests share: a condition that must hold, and the golden vectors.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "rubblemap/product.hpp"

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

using Bytes = std::vector<std::uint8_t>;
using Message = std::vector<Bytes>;

// A number of four bytes, little-endian.
inline std::uint32_t number_at(const std::uint8_t* bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = 4; i-- > 0;) number = number << 8 | bytes[i];
  return number;
}

// The parts in a golden file.
inline Message read_vector(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  const Bytes data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Message parts;
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t size = number_at(&data[at]);
    const auto first = data.begin() + static_cast<std::ptrdiff_t>(at + 4);
    parts.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
    at += 4 + size;
  }
  return parts;
}

inline std::vector<rubblemap::Part> views(const Message& parts) {
  std::vector<rubblemap::Part> result;
  for (const Bytes& part : parts) result.push_back({part.data(), part.size()});
  return result;
}
