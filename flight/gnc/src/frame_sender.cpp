#include "rubblemap/frame_sender.hpp"

#include <zlib.h>
#include <zmq.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "frame_bytes.hpp"
#include "rubblemap/bounded.hpp"
#include "socket.hpp"

namespace rubblemap {
namespace {

constexpr std::size_t header_bytes = 4096;  // the ICD's limit

// A frame on its way. parts_out: how many of its two parts libzmq still reads; it is free at 0.
struct Slot {
  std::unique_ptr<std::uint8_t[]> pixels;
  std::uint8_t header[header_bytes];
  std::atomic<int> parts_out{0};
};

// Called by libzmq, in its I/O thread, when it is done with a part.
void part_is_sent(void*, void* slot) { static_cast<Slot*>(slot)->parts_out.fetch_sub(1, std::memory_order_release); }

// Copies the pixels, row by row, as the wire has them: little-endian.
void copy_pixels(const Frame& frame, std::uint8_t* out) noexcept {
  const auto* row = static_cast<const std::uint8_t*>(frame.pixels);
  const std::size_t bytes = row_bytes(frame);
  const std::size_t stride = frame.row_bytes == 0 ? bytes : frame.row_bytes;
  for (std::uint32_t v = 0; v < frame.height; ++v, row += stride, out += bytes) std::memcpy(out, row, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  if (frame.type == PixelType::u16) {
    std::uint8_t* const end = out;
    for (std::uint8_t* at = end - frame.height * bytes; at != end; at += 2) std::swap(at[0], at[1]);
  }
#endif
}

}  // namespace

struct FrameSender::State {
  State(const FrameSenderOptions& options, std::shared_ptr<Context> context)
      : socket(std::move(context), ZMQ_PUSH, "frames socket"),
        max_pixel_bytes(options.max_pixel_bytes),
        epoch(options.epoch ? *options.epoch : static_cast<std::uint32_t>(std::time(nullptr))),
        slots(std::make_shared<std::vector<Slot>>(options.max_frames)) {
    if (options.source.empty() || !source.assign(options.source)) {
      throw OpenError("frame sender options: source: expected 1..32 bytes, got " +
                      std::to_string(options.source.size()));
    }
    if (options.max_frames < 1 || options.max_pixel_bytes < 1 || options.max_pixel_bytes > most_message_bytes) {
      throw OpenError("frame sender options: expected max_frames 1 or more, max_pixel_bytes 1..41943040, got " +
                      std::to_string(options.max_frames) + " and " + std::to_string(options.max_pixel_bytes));
    }
    for (Slot& slot : *slots) slot.pixels.reset(new std::uint8_t[max_pixel_bytes]());
    socket.context().keep(slots);
    socket.set(ZMQ_SNDHWM, 2);
    // Frames wait for a service to be there, not in a queue from which it would get them late.
    socket.set(ZMQ_IMMEDIATE, 1);
    socket.set(ZMQ_LINGER, options.linger_ms);
    socket.connect(options.endpoint, options.keys);
  }

  Slot* free_slot() noexcept {
    for (Slot& slot : *slots) {
      if (slot.parts_out.load(std::memory_order_acquire) == 0) return &slot;
    }
    return nullptr;
  }

  bool fits(const Frame& frame) noexcept {
    if (frame.pixels == nullptr) {
      std::snprintf(error, sizeof error, "frame.pixels: expected an address, got none");
    } else if (pixel_bytes(frame) > max_pixel_bytes) {
      std::snprintf(error, sizeof error, "frame: expected at most %zu bytes of pixels, as set aside, got %zu",
                    max_pixel_bytes, pixel_bytes(frame));
    } else if (frame.row_bytes != 0 && frame.row_bytes < row_bytes(frame)) {
      std::snprintf(error, sizeof error, "frame.row_bytes: expected 0, or %zu or more, got %zu", row_bytes(frame),
                    frame.row_bytes);
    } else {
      return true;
    }
    return false;
  }

  // Hands a part over to libzmq; `slot` counts it as out until libzmq is done with it, here or later.
  bool send_part(Slot& slot, void* data, std::size_t size, int flags) noexcept {
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, data, size, part_is_sent, &slot) != 0) return false;
    slot.parts_out.fetch_add(1, std::memory_order_relaxed);
    if (zmq_msg_send(&message, socket.handle(), ZMQ_DONTWAIT | flags) >= 0) return true;
    zmq_msg_close(&message);
    return false;
  }

  Sent send(const Frame& frame) noexcept {
    if (!fits(frame)) return Sent::refused;
    FrameStamp stamp{source, epoch, next_frame_id, 0};
    // Checked before the pixels are touched: a frame whose sizes are wrong may not have them.
    if (encode_frame_header(frame, stamp, checked_header, header_bytes, error) == 0) return Sent::refused;
    Slot* slot = free_slot();
    if (slot == nullptr || !socket.takes()) return Sent::not_taken;
    const std::size_t size = pixel_bytes(frame);
    copy_pixels(frame, slot->pixels.get());
    stamp.crc32 = static_cast<std::uint32_t>(crc32_z(0, slot->pixels.get(), size));
    const std::size_t header_size = encode_frame_header(frame, stamp, slot->header, header_bytes, error);
    const bool sent = send_part(*slot, slot->header, header_size, ZMQ_SNDMORE) &&
                      send_part(*slot, slot->pixels.get(), size, 0);
    return sent ? Sent::yes : Sent::not_taken;
  }

  Socket socket;
  const std::size_t max_pixel_bytes;
  const std::uint32_t epoch;
  Text<32> source;
  std::shared_ptr<std::vector<Slot>> slots;
  std::uint8_t checked_header[header_bytes];
  std::uint64_t next_frame_id = 0;
  std::uint64_t not_taken = 0;
  char error[256] = "";
};

FrameSender::FrameSender(const FrameSenderOptions& options, std::shared_ptr<Context> context)
    : state_(new State(options, std::move(context))) {}

FrameSender::~FrameSender() = default;

Sent FrameSender::send(const Frame& frame, std::uint64_t* frame_id) noexcept {
  const Sent result = state_->send(frame);
  if (result == Sent::yes) {
    if (frame_id != nullptr) *frame_id = state_->next_frame_id;
    ++state_->next_frame_id;
  }
  if (result == Sent::not_taken) ++state_->not_taken;
  return result;
}

std::uint64_t FrameSender::sent() const noexcept { return state_->next_frame_id; }

std::uint64_t FrameSender::not_taken() const noexcept { return state_->not_taken; }

const char* FrameSender::last_error() const noexcept { return state_->error; }

}  // namespace rubblemap
