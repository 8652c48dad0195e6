#include "rubblemap/receiver.hpp"

#include <zmq.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <optional>

#include "fields.hpp"
#include "socket.hpp"

namespace rubblemap {
namespace {

using Clock = std::chrono::steady_clock;

// How long a poll that met a backlog waits, in all, for what is still on its way through libzmq's I/O thread.
constexpr std::chrono::milliseconds backlog_wait(2);
// What the connection may hold beyond the queue; a poll that has judged so many more ends, even if more came meanwhile.
constexpr std::size_t most_behind_queue = 256;
constexpr std::size_t plane_alignment = 64;
// What libzmq lets in at all, unless more was set aside: parts beyond our own limits are to be met and counted, but no
// peer is to take memory without end.
constexpr std::size_t largest_part = most_message_bytes;

enum class Use : std::uint8_t { free, filling, waiting, taken };

// A product and the bytes of its planes.
struct Slot {
  Product product;
  std::unique_ptr<std::uint8_t[]> bytes;
  Use use = Use::free;
  std::uint64_t arrival = 0;
};

std::size_t aligned(std::size_t bytes) noexcept {
  return (bytes + plane_alignment - 1) / plane_alignment * plane_alignment;
}

// Of one map pixel, all planes of a topic.
std::size_t pixel_bytes(Topic topic, std::size_t max_classes) noexcept {
  std::size_t bytes = 0;
  for (const PlaneDefinition& plane : planes_of(topic)) {
    bytes += (plane.dtype == Dtype::u8 ? 1u : 2u) * (plane.dimensions == 3 ? max_classes : 1u);
  }
  return bytes;
}

std::size_t plane_bytes(const ReceiverOptions& options) {
  std::size_t per_pixel = 0;
  for (const Topic topic : options.topics) per_pixel = std::max(per_pixel, pixel_bytes(topic, options.max_classes));
  const std::size_t pixels = static_cast<std::size_t>(options.max_height) * options.max_width;
  return per_pixel * pixels + most_planes * plane_alignment;
}

void require(bool right, const char* field, const std::string& expected) {
  if (!right) throw OpenError(std::string("receiver options: ") + field + ": expected " + expected);
}

void check(const ReceiverOptions& options) {
  require(!options.topics.empty(), "topics", "one or more");
  require(options.max_height >= 1 && options.max_height <= largest_side, "max_height",
          "1.." + std::to_string(largest_side));
  require(options.max_width >= 1 && options.max_width <= largest_side, "max_width",
          "1.." + std::to_string(largest_side));
  require(options.max_classes >= 2 && options.max_classes <= most_classes, "max_classes",
          "2.." + std::to_string(most_classes));
  require(options.max_taken >= 1 && options.max_taken <= 64, "max_taken", "1..64");
  require(options.queue >= 1, "queue", "1 or more");
  check_heartbeat("products socket", options.heartbeat_ms);
}

}  // namespace

std::uint64_t ReceiverStatistics::all_malformed() const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t count : malformed) all += count;
  return all;
}

void ProductRelease::operator()(const Product* product) const noexcept { receiver->release(product); }

struct Receiver::State {
  enum class Came : std::uint8_t { nothing, product, malformed };

  State(const ReceiverOptions& options, std::shared_ptr<Context> context)
      : socket((check(options), std::move(context)), ZMQ_SUB, "products socket"),
        max_height(options.max_height),
        max_width(options.max_width),
        max_classes(options.max_classes),
        max_taken(options.max_taken),
        most_messages(static_cast<std::size_t>(options.queue) + most_behind_queue),
        slot_bytes(plane_bytes(options)),
        slots(options.topics.size() + options.max_taken + 1),
        topic_part(new std::uint8_t[topic_bytes]),
        header_part(new std::uint8_t[most_header_bytes]) {
    for (Slot& slot : slots) slot.bytes = std::make_unique<std::uint8_t[]>(slot_bytes);
    socket.set(ZMQ_RCVHWM, options.queue);
    socket.set(ZMQ_LINGER, 0);
    socket.set_heartbeat(options.heartbeat_ms);
    socket.set_largest_part(static_cast<std::int64_t>(std::max(largest_part, slot_bytes)));
    for (const Topic topic : options.topics) socket.subscribe(std::string(name_of(topic)));
    socket.connect(options.endpoint, options.keys);
    filling = free_slot();
  }

  // There always is one: as many as can wait or be taken, and one more.
  Slot* free_slot() noexcept {
    const auto found = std::find_if(slots.begin(), slots.end(), [](const Slot& s) { return s.use == Use::free; });
    found->use = Use::filling;
    return &*found;
  }

  Slot* waiting(Topic topic) noexcept {
    for (Slot& slot : slots) {
      if (slot.use == Use::waiting && slot.product.topic == topic) return &slot;
    }
    return nullptr;
  }

  std::size_t count(Use use) const noexcept {
    const auto number = std::count_if(slots.begin(), slots.end(), [use](const Slot& s) { return s.use == use; });
    return static_cast<std::size_t>(number);
  }

  // All that has come, and after a backlog what comes within backlog_wait of its end. backlog_end: of one poll.
  void drain(std::optional<Clock::time_point>& backlog_end) noexcept {
    for (std::size_t messages = 0; messages < most_messages; ++messages) {
      if (messages > 0 && backlog_end && Clock::now() >= *backlog_end) return;
      if (take_in() != Came::nothing) continue;
      if (messages < 2) return;
      const auto now = Clock::now();
      if (!backlog_end) backlog_end = now + backlog_wait;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*backlog_end - now).count();
      if (left <= 0 || !socket.wait(static_cast<int>(left)) || take_in() == Came::nothing) return;
    }
  }

  // One message off the socket.
  Came take_in() noexcept {
    Part parts[most_parts];
    std::size_t used = 0;
    const int first = socket.receive(topic_part.get(), topic_bytes);
    if (first < 0) return Came::nothing;
    std::size_t count = 1;
    bool fits = receive_rest(parts, first, count, used);
    const std::size_t further = socket.discard_rest();
    Fault fault;
    if (fits && further > 0) {
      fits = reject(fault, Reason::wrong_parts, "product: expected 2..%zu message parts, got %zu", most_parts,
                    count + further);
    } else if (!fits) {
      fault = incomplete;
    }
    if (!fits || !decoder.decode(parts, count, filling->product, fault) || !is_within_limits(filling->product, fault)) {
      ++statistics.malformed[static_cast<std::size_t>(fault.reason)];
      last = fault;
      return Came::malformed;
    }
    keep();
    return Came::product;
  }

  // The parts behind the first, until there are no more or one does not fit.
  bool receive_rest(Part* parts, int first, std::size_t& count, std::size_t& used) noexcept {
    if (!fits_in(0, first, topic_bytes)) return false;
    parts[0] = {topic_part.get(), static_cast<std::size_t>(first)};
    while (count < most_parts && socket.more()) {
      std::uint8_t* const buffer = count == 1 ? header_part.get() : filling->bytes.get() + used;
      const std::size_t capacity = count == 1 ? most_header_bytes : slot_bytes - used;
      const int size = socket.receive(buffer, capacity);
      if (size < 0) {
        return reject(incomplete, Reason::wrong_parts, "product part %zu: expected one, as announced, got none", count);
      }
      if (!fits_in(count, size, capacity)) return false;
      parts[count] = {buffer, static_cast<std::size_t>(size)};
      if (count > 1) used = std::min(slot_bytes, aligned(used + parts[count].size));
      ++count;
    }
    return true;
  }

  bool fits_in(std::size_t part, int size, std::size_t capacity) noexcept {
    if (static_cast<std::size_t>(size) <= capacity) return true;
    return reject(incomplete, Reason::oversized_part,
                  "product part %zu: expected at most %zu bytes, as set aside, got %d", part, capacity, size);
  }

  // To fit into the slot is not enough: the caller may have set memory aside for maps of these sides, too. That there
  // are as many layers as classes the decoder has seen to.
  bool is_within_limits(const Product& product, Fault& fault) const noexcept {
    if (!is_at_most("map.classes: entries", product.classes.size(), max_classes, "max_classes", fault)) return false;
    for (const Plane& plane : product.planes) {
      const std::size_t sides = plane.shape.size();
      if (!is_at_most("map.planes: height", plane.shape[sides - 2], max_height, "max_height", fault)) return false;
      if (!is_at_most("map.planes: width", plane.shape[sides - 1], max_width, "max_width", fault)) return false;
    }
    return true;
  }

  static bool is_at_most(const char* field, std::size_t value, std::uint32_t limit, const char* option,
                         Fault& fault) noexcept {
    if (value <= limit) return true;
    return reject(fault, Reason::oversized_part, "%s: expected at most %u, as %s says, got %zu", field,
                  static_cast<unsigned>(limit), option, value);
  }

  // The product in `filling` is good: it waits, in place of an older one of its topic.
  void keep() noexcept {
    note(filling->product);
    if (Slot* older = waiting(filling->product.topic)) {
      ++statistics.topics[static_cast<std::size_t>(filling->product.topic)].skipped;
      older->use = Use::free;
    }
    filling->use = Use::waiting;
    filling->arrival = ++arrivals;
    filling = free_slot();
  }

  void note(const Product& product) noexcept {
    const auto topic = static_cast<std::size_t>(product.topic);
    TopicStatistics& counts = statistics.topics[topic];
    ++counts.received;
    if (seen[topic]) {
      const bool on = product.sequence >= next_sequence[topic];
      const std::uint64_t gap = on ? product.sequence - next_sequence[topic] : 0;
      if (on && gap <= largest_gap) {
        counts.lost += gap;
      } else {
        ++counts.restarts;
      }
    }
    seen[topic] = true;
    next_sequence[topic] = product.sequence + (product.sequence < std::numeric_limits<std::uint64_t>::max() ? 1 : 0);
  }

  static constexpr std::size_t topic_bytes = 32;

  Socket socket;
  const std::uint32_t max_height;
  const std::uint32_t max_width;
  const std::uint32_t max_classes;
  const std::size_t max_taken;
  const std::size_t most_messages;
  const std::size_t slot_bytes;
  std::vector<Slot> slots;
  Slot* filling = nullptr;
  std::unique_ptr<std::uint8_t[]> topic_part;
  std::unique_ptr<std::uint8_t[]> header_part;
  ProductDecoder decoder;
  ReceiverStatistics statistics;
  Fault last;
  Fault incomplete;  // what receive_rest says
  std::uint64_t arrivals = 0;
  std::array<bool, topic_count> seen{};
  std::array<std::uint64_t, topic_count> next_sequence{};
};

Receiver::Receiver(const ReceiverOptions& options, std::shared_ptr<Context> context)
    : state_(new State(options, std::move(context))) {}

Receiver::~Receiver() = default;

std::size_t Receiver::poll(int timeout_ms) noexcept {
  const auto deadline = Clock::now() + std::chrono::milliseconds(std::max(timeout_ms, 0));
  std::optional<Clock::time_point> backlog_end;
  if (!state_->socket.usable()) {
    std::snprintf(state_->last.message, sizeof state_->last.message, "%s", forked_error);
    return 0;
  }
  while (true) {
    state_->drain(backlog_end);
    const std::size_t waiting = state_->count(Use::waiting);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (waiting > 0 || left <= 0) return waiting;
    state_->socket.wait(static_cast<int>(left));
  }
}

TakenProduct Receiver::take(Topic topic) noexcept {
  Slot* slot = state_->waiting(topic);
  if (slot != nullptr && state_->count(Use::taken) >= state_->max_taken) {
    ++state_->statistics.not_taken;
    slot = nullptr;
  }
  if (slot != nullptr) slot->use = Use::taken;
  return {slot == nullptr ? nullptr : &slot->product, ProductRelease{this}};
}

TakenProduct Receiver::take() noexcept {
  const Slot* first = nullptr;
  for (const Slot& slot : state_->slots) {
    if (slot.use == Use::waiting && (first == nullptr || slot.arrival < first->arrival)) first = &slot;
  }
  return first == nullptr ? TakenProduct(nullptr, ProductRelease{this}) : take(first->product.topic);
}

void Receiver::release(const Product* product) noexcept {
  for (Slot& slot : state_->slots) {
    if (&slot.product == product && slot.use == Use::taken) slot.use = Use::free;
  }
}

bool Receiver::usable() const noexcept { return state_->socket.usable(); }

const ReceiverStatistics& Receiver::statistics() const noexcept { return state_->statistics; }

const char* Receiver::last_error() const noexcept { return state_->last.message; }

}  // namespace rubblemap
