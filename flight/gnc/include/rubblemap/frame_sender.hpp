// The camera side: sending frames.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "rubblemap/context.hpp"
#include "rubblemap/icd.hpp"

namespace rubblemap {

enum class PixelType : std::uint8_t { u8, u16 };

// Pixels, row-major, not owned: (height, width), or (height, width, 3) with channels = 3. u16 in the processor's byte
// order. The optional fields are the ICD's; what is empty is not sent.
struct Frame {
  const void* pixels = nullptr;
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::uint32_t channels = 1;
  PixelType type = PixelType::u8;
  unsigned bit_depth = 0;     // significant bits; 0: all of the type's
  std::size_t row_bytes = 0;  // from a row to the next one; 0: rows without gaps
  std::uint64_t capture_time_ns = 0;
  bool centered = false;  // the body is in the middle, and the frame is to be taken whole
  std::optional<double> exposure_s;
  std::optional<double> range_km;
  std::optional<std::array<double, 3>> sun_direction_camera;
};

inline constexpr std::size_t most_frames = 1024;
inline constexpr int longest_linger_ms = 60000;

// An epoch that is not given is seconds since 1970, or one more than the largest that a camera of this name has had on
// this computer, so that a clock that goes back does no harm. It is recorded in $STATE_DIRECTORY,
// $XDG_STATE_HOME/rubblemap, ~/.local/state/rubblemap or /var/tmp/rubblemap-UID, the first that can be written.
struct FrameSenderOptions {
  std::string endpoint = default_frames_endpoint;
  std::string source = "camera";           // the camera's name
  std::optional<std::uint32_t> epoch;      // its boot count; if not given, see below
  std::size_t max_pixel_bytes = 4u << 20;  // of one frame; set aside max_frames times
  std::size_t max_frames = 4;              // that may be on their way at the same time; 1..most_frames
  int linger_ms = 1000;                    // how long closing may take, to send what waits; 0..longest_linger_ms
  int heartbeat_ms = 2000;                 // silent for three of these: a service gets no frames; 0..600000, 0: never
  std::string keys;                        // a client's folder, for a service with CURVE keys
};

enum class [[nodiscard]] Sent : std::uint8_t{
    yes,        // handed over to libzmq; a service that fell silent within the last four heartbeats may get it late
    not_taken,  // no service, or more than it reads: try the next frame
    refused,    // rejected: it breaks the contract or the options; last_error() says why
};

// Sends frames of one camera. For use from one thread at a time. Never blocks. Copies the pixels into memory that was
// set aside at opening; allocates no more then (libzmq takes some bytes for each message).
class FrameSender {
public:
  // Throws OpenError (KeyFileError among them), or std::bad_alloc. context: shared with other sockets, if given.
  explicit FrameSender(const FrameSenderOptions& options, std::shared_ptr<Context> context = nullptr);
  ~FrameSender();
  FrameSender(const FrameSender&) = delete;
  FrameSender& operator=(const FrameSender&) = delete;

  // frame_id, if given: the number of the frame that was sent. Frames that were not get none.
  Sent send(const Frame& frame, std::uint64_t* frame_id = nullptr) noexcept;

  // Whether this process opened it. False in a child that was forked after that, for which it does nothing: every call
  // returns at once, and last_error() says why.
  bool usable() const noexcept;

  std::uint64_t sent() const noexcept;
  std::uint64_t not_taken() const noexcept;
  const char* last_error() const noexcept;

private:
  struct State;
  std::unique_ptr<State> state_;
};

// What identifies a frame and describes its pixels' bytes.
struct FrameStamp {
  std::string_view source;
  std::uint32_t epoch = 0;
  std::uint64_t frame_id = 0;
  std::uint32_t crc32 = 0;
};

// Encodes a frame's header as flight.icd.frames does, byte for byte. error: room for one line. Returns the bytes used,
// 0, with the error, for a frame that breaks the contract or a buffer that is too short.
[[nodiscard]] std::size_t encode_frame_header(const Frame& frame, const FrameStamp& stamp, std::uint8_t* buffer,
                                              std::size_t capacity, char (&error)[256]) noexcept;

}  // namespace rubblemap
