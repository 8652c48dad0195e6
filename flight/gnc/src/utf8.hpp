// Whether bytes are UTF-8.
#pragma once

#include <string_view>

namespace rubblemap {

// Shortest forms only, no surrogates, at most U+10FFFF: what Python's strict decoder takes.
inline bool is_utf8(std::string_view text) noexcept {
  const auto byte = [&text](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : static_cast<unsigned char>(0);
  };
  const auto follows = [&byte](std::size_t at) { return (byte(at) & 0xC0u) == 0x80u; };
  for (std::size_t at = 0; at < text.size();) {
    const unsigned char first = byte(at);
    const unsigned char second = byte(at + 1);
    if (first < 0x80u) {
      at += 1;
    } else if (first >= 0xC2u && first <= 0xDFu && follows(at + 1)) {
      at += 2;
    } else if (first >= 0xE0u && first <= 0xEFu && follows(at + 1) && follows(at + 2)) {
      if ((first == 0xE0u && second < 0xA0u) || (first == 0xEDu && second > 0x9Fu)) return false;
      at += 3;
    } else if (first >= 0xF0u && first <= 0xF4u && follows(at + 1) && follows(at + 2) && follows(at + 3)) {
      if ((first == 0xF0u && second < 0x90u) || (first == 0xF4u && second > 0x8Fu)) return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace rubblemap
