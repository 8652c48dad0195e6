// Receiving map products: verified, losses counted, always the newest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rubblemap/context.hpp"
#include "rubblemap/product.hpp"

namespace rubblemap {

// What is set aside at opening follows from these: per kept product 7 KB and, per map pixel, 4 bytes (navigation),
// 7 (hazard) or 6 + 2 max_classes (full). Kept are one product per topic, max_taken, and the one coming in.
struct ReceiverOptions {
  std::string endpoint = default_products_endpoint;
  std::vector<Topic> topics = {Topic::navigation};
  std::uint32_t max_height = 256;  // of a map, pixels; products beyond these three are rejected as oversized_part
  std::uint32_t max_width = 256;
  std::uint32_t max_classes = 8;  // as many layers has map.full
  std::size_t max_taken = 2;      // products that the caller holds at the same time
  int queue = 16;                 // products that libzmq keeps for a caller that does not poll
  int heartbeat_ms = 2000;        // silent for three of these: a service is connected to anew; 0..600000, 0: never
  std::string keys;               // a client's folder, for a service with CURVE keys
};

struct TopicStatistics {
  std::uint64_t received = 0;  // verified
  std::uint64_t lost = 0;      // gaps in the sequence, malformed products among them
  std::uint64_t skipped = 0;   // verified, but replaced by a newer one before it was taken
  std::uint64_t restarts = 0;  // the sequence went back, or ahead by more than largest_gap: the service began anew
};

struct ReceiverStatistics {
  std::array<TopicStatistics, topic_count> topics{};    // by Topic
  std::array<std::uint64_t, reason_count> malformed{};  // by Reason; never handed over
  std::uint64_t not_taken = 0;                          // take() while max_taken were held

  const TopicStatistics& of(Topic topic) const noexcept { return topics[static_cast<std::size_t>(topic)]; }
  std::uint64_t all_malformed() const noexcept;
};

class Receiver;

// Gives a product back to its receiver.
struct ProductRelease {
  Receiver* receiver = nullptr;
  void operator()(const Product* product) const noexcept;
};
using TakenProduct = std::unique_ptr<const Product, ProductRelease>;

// Subscribes to products. For use from one thread at a time. Allocates when it is opened, never again (libzmq does,
// in its I/O thread, and in the caller's when it connects anew). Connects anew by itself when the service restarts.
class Receiver {
public:
  // Throws OpenError (KeyFileError among them), or std::bad_alloc. context: shared with other sockets, if given.
  explicit Receiver(const ReceiverOptions& options, std::shared_ptr<Context> context = nullptr);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // Takes in all products that have come, and keeps the newest of each topic. Waits for one at most timeout_ms, 0 not
  // to wait, unless there is one already. Returns how many topics have one to take. After several products at once it
  // goes on for those behind them (queues, once full, hold the oldest): at most 2 ms more after a backlog, however many
  // keep coming. Judges at most `queue` + 256 products in a row, each for as long as checking and CRC-32 take.
  std::size_t poll(int timeout_ms) noexcept;

  // The newest of the topic, or of all topics the one that has waited longest; empty when there is none, or when
  // max_taken are held. Valid, planes included, until it is released or the receiver is gone.
  [[nodiscard]] TakenProduct take(Topic topic) noexcept;
  [[nodiscard]] TakenProduct take() noexcept;

  // What ProductRelease calls. Anything but a product that take() handed over is ignored.
  void release(const Product* product) noexcept;

  // Whether this process opened it. False in a child that was forked after that, for which it does nothing: every call
  // returns at once, and last_error() says why.
  bool usable() const noexcept;

  const ReceiverStatistics& statistics() const noexcept;

  // Of the last malformed product, or that the process was forked; empty before there was one.
  const char* last_error() const noexcept;

private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rubblemap
