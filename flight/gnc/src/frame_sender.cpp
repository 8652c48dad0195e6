#include "rubblemap/frame_sender.hpp"

#include <zlib.h>
#include <zmq.h>

#include <cstdio>
#include <cstring>

#include "epochs.hpp"
#include "frame_bytes.hpp"
#include "rubblemap/bounded.hpp"
#include "slot_pool.hpp"
#include "socket.hpp"

namespace rubblemap {
namespace {

using Slot = SlotPool::Slot;
constexpr std::size_t header_bytes = SlotPool::header_bytes;

// ZeroMQ's own commands are smaller.
constexpr std::int64_t largest_answer = 1024;

// Called by libzmq, in its I/O thread, when it is done with a part.
void part_is_sent(void*, void* slot) { static_cast<Slot*>(slot)->give_part_back(); }

void require(bool right, const char* field, const std::string& expected, std::size_t got) {
  if (right) return;
  throw OpenError(std::string("frame sender options: ") + field + ": expected " + expected + ", got " +
                  std::to_string(got));
}

// Before anything is set aside.
const FrameSenderOptions& checked(const FrameSenderOptions& options) {
  require(!options.source.empty() && options.source.size() <= 32, "source", "1..32 bytes", options.source.size());
  require(options.max_frames >= 1 && options.max_frames <= most_frames, "max_frames",
          "1.." + std::to_string(most_frames), options.max_frames);
  require(options.max_pixel_bytes >= 1 && options.max_pixel_bytes <= most_message_bytes, "max_pixel_bytes",
          "1.." + std::to_string(most_message_bytes), options.max_pixel_bytes);
  if (options.linger_ms < 0 || options.linger_ms > longest_linger_ms) {
    throw OpenError("frame sender options: linger_ms: expected 0.." + std::to_string(longest_linger_ms) + ", got " +
                    std::to_string(options.linger_ms));
  }
  check_heartbeat("frames socket", options.heartbeat_ms);
  return options;
}

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
      : max_pixel_bytes(checked(options).max_pixel_bytes),
        epoch(options.epoch ? *options.epoch : take_epoch(options.source)),
        socket(std::move(context), ZMQ_PUSH, "frames socket"),
        slots(std::make_shared<SlotPool>(options.max_frames, max_pixel_bytes)) {
    require(source.assign(options.source), "source", "1..32 bytes", options.source.size());
    socket.set(ZMQ_SNDHWM, 2);
    // Nothing is to come back on this socket.
    socket.set(ZMQ_RCVHWM, 1);
    socket.set_largest_part(largest_answer);
    // Frames wait for a service to be there, not in a queue from which it would get them late.
    socket.set(ZMQ_IMMEDIATE, 1);
    socket.set(ZMQ_LINGER, options.linger_ms);
    socket.set_heartbeat(options.heartbeat_ms);
    socket.connect(options.endpoint, options.keys);
    socket.context().keep(slots);  // before the first frame is lent to libzmq
  }

  ~State() {
    if (!socket.usable()) return;  // what another thread held at the fork stays so
    slots.reset();
    socket.context().prune();
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
  bool send_part(Slot& slot, void* data, std::size_t size, int flags) const noexcept {
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, data, size, part_is_sent, &slot) != 0) return false;
    slot.lend_part();
    if (zmq_msg_send(&message, socket.handle(), ZMQ_DONTWAIT | flags) >= 0) return true;
    zmq_msg_close(&message);
    return false;
  }

  Sent send(const Frame& frame) noexcept {
    if (!socket.usable()) {
      std::snprintf(error, sizeof error, "%s", forked_error);
      return Sent::refused;
    }
    if (!fits(frame)) return Sent::refused;
    FrameStamp stamp{source, epoch, next_frame_id, 0};
    // Checked before the pixels are touched: a frame whose sizes are wrong may not have them.
    if (encode_frame_header(frame, stamp, checked_header, header_bytes, error) == 0) return Sent::refused;
    Slot* slot = slots->free_slot();
    if (slot == nullptr || !socket.takes()) return Sent::not_taken;
    const std::size_t size = pixel_bytes(frame);
    copy_pixels(frame, slot->pixels());
    stamp.crc32 = static_cast<std::uint32_t>(crc32_z(0, slot->pixels(), size));
    const std::size_t header_size = encode_frame_header(frame, stamp, slot->header(), header_bytes, error);
    const bool sent =
        send_part(*slot, slot->header(), header_size, ZMQ_SNDMORE) && send_part(*slot, slot->pixels(), size, 0);
    return sent ? Sent::yes : Sent::not_taken;
  }

  const std::size_t max_pixel_bytes;
  const std::uint32_t epoch;
  Text<32> source;
  Socket socket;
  std::shared_ptr<SlotPool> slots;
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

bool FrameSender::usable() const noexcept { return state_->socket.usable(); }

std::uint64_t FrameSender::sent() const noexcept { return state_->next_frame_id; }

std::uint64_t FrameSender::not_taken() const noexcept { return state_->not_taken; }

const char* FrameSender::last_error() const noexcept { return state_->error; }

}  // namespace rubblemap
