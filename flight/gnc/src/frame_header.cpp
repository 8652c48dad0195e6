#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "frame_bytes.hpp"
#include "packing.hpp"
#include "rubblemap/frame_sender.hpp"
#include "utf8.hpp"

namespace rubblemap {
namespace {

using Error = char (&)[256];

[[gnu::format(printf, 2, 3)]] bool reject(Error error, const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error, sizeof error, format, arguments);
  va_end(arguments);
  return false;
}

bool within(Error error, const char* field, double value, double low, double high) noexcept {
  return (value >= low && value <= high) || reject(error, "frame.%s: expected %g..%g, got %g", field, low, high, value);
}

bool sun_is_right(const Frame& frame, Error error) noexcept {
  if (!frame.sun_direction_camera) return true;
  for (const double component : *frame.sun_direction_camera) {
    if (!within(error, "sun_direction_camera", component, -1, 1)) return false;
  }
  return true;
}

bool is_right(const Frame& frame, const FrameStamp& stamp, Error error) noexcept {
  const unsigned bits = frame.type == PixelType::u8 ? 8 : 16;
  if (stamp.source.empty() || stamp.source.size() > 32 || !is_utf8(stamp.source)) {
    return reject(error, "frame.source: expected 1..32 bytes of UTF-8, got %zu bytes", stamp.source.size());
  }
  if (frame.channels != 1 && frame.channels != 3) {
    return reject(error, "frame.channels: expected 1 | 3, got %u", frame.channels);
  }
  if (frame.bit_depth != 0 && (frame.bit_depth < 8 || frame.bit_depth > bits)) {
    return reject(error, "frame.bit_depth: expected 8..%u for u%u, got %u", bits, bits, frame.bit_depth);
  }
  if (pixel_bytes(frame) > most_message_bytes) {
    return reject(error, "frame: expected at most %zu bytes of pixels, got %zu", most_message_bytes,
                  pixel_bytes(frame));
  }
  return within(error, "height", frame.height, smallest_side, largest_side) &&
         within(error, "width", frame.width, smallest_side, largest_side) &&
         (!frame.exposure_s || within(error, "exposure_s", *frame.exposure_s, 0, 86400)) &&
         (!frame.range_km || within(error, "range_km", *frame.range_km, 0, 1e12)) && sun_is_right(frame, error);
}

}  // namespace

std::size_t encode_frame_header(const Frame& frame, const FrameStamp& stamp, std::uint8_t* buffer, std::size_t capacity,
                                char (&error)[256]) noexcept {
  if (!is_right(frame, stamp, error)) return 0;
  const unsigned bits = frame.type == PixelType::u8 ? 8 : 16;
  const std::size_t optional =
      (frame.exposure_s ? 1u : 0u) + (frame.range_km ? 1u : 0u) + (frame.sun_direction_camera ? 1u : 0u);
  FixedBuffer bytes{buffer, capacity};
  Packer out(bytes);
  // In the order of flight.icd.frames.
  out.map(13 + optional);
  out.text("schema");
  out.whole(schema_version);
  out.text("type");
  out.text("frame");
  out.text("source");
  out.text(stamp.source);
  out.text("epoch");
  out.whole(stamp.epoch);
  out.text("frame_id");
  out.whole(stamp.frame_id);
  out.text("capture_time_ns");
  out.whole(frame.capture_time_ns);
  out.text("height");
  out.whole(frame.height);
  out.text("width");
  out.whole(frame.width);
  out.text("channels");
  out.whole(frame.channels);
  out.text("dtype");
  out.text(frame.type == PixelType::u8 ? "u8" : "u16");
  out.text("bit_depth");
  out.whole(frame.bit_depth != 0 ? frame.bit_depth : bits);
  out.text("centered");
  out.boolean(frame.centered);
  if (frame.exposure_s) {
    out.text("exposure_s");
    out.real(*frame.exposure_s);
  }
  if (frame.range_km) {
    out.text("range_km");
    out.real(*frame.range_km);
  }
  if (frame.sun_direction_camera) {
    out.text("sun_direction_camera");
    out.array(3);
    for (const double component : *frame.sun_direction_camera) out.real(component);
  }
  out.text("crc32");
  out.whole(stamp.crc32);
  if (!bytes.full) return bytes.used;
  reject(error, "frame header: expected a buffer for it, got one of %zu bytes", capacity);
  return 0;
}

}  // namespace rubblemap
