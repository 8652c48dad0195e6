// How many bytes a frame's pixels have.
#pragma once

#include <cstddef>

#include "rubblemap/frame_sender.hpp"

namespace rubblemap {

inline std::size_t row_bytes(const Frame& frame) noexcept {
  return static_cast<std::size_t>(frame.width) * frame.channels * (frame.type == PixelType::u8 ? 1u : 2u);
}

inline std::size_t pixel_bytes(const Frame& frame) noexcept { return frame.height * row_bytes(frame); }

}  // namespace rubblemap
