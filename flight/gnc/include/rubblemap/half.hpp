// IEEE 754 binary16 numbers, in which planes of dtype f16 come.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace rubblemap {

// The value of one binary16 number, little-endian, at `data`. Every one of them is a float, so nothing is rounded.
inline float half_to_float(const std::uint8_t* data) noexcept {
  static_assert(std::numeric_limits<float>::is_iec559, "IEEE 754 binary32");
  const std::uint32_t bits = static_cast<std::uint32_t>(data[0]) | (static_cast<std::uint32_t>(data[1]) << 8u);
  const std::uint32_t sign = (bits & 0x8000u) << 16u;
  const std::uint32_t exponent = (bits >> 10u) & 0x1Fu;
  const std::uint32_t fraction = bits & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: steps of 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 0x1F && fraction != 0) return std::numeric_limits<float>::quiet_NaN();
  // The exponent's bias is 15 in binary16 and 127 in binary32; that of infinity is all ones in both.
  const std::uint32_t wide_exponent = exponent == 0x1F ? 0xFFu : exponent + (127u - 15u);
  const std::uint32_t wide = sign | (wide_exponent << 23u) | (fraction << 13u);
  float value = 0.0f;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace rubblemap
