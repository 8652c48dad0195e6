#include "rubblemap/commander.hpp"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include "fields.hpp"
#include "map_reader.hpp"
#include "socket.hpp"

namespace rubblemap {
namespace {

using Clock = std::chrono::steady_clock;

// Read in a row before time-outs are looked at, and the time.
constexpr std::size_t most_messages = 64;

struct UnderWay {
  std::uint64_t id = 0;  // 0: a place that is free
  Clock::time_point deadline;
  std::uint64_t order = 0;
};

// Rises from one start of a program to the next as far as the clock does, so that replies to an earlier one are told
// apart; never 0. Nanoseconds since 1970, all 64 bits of them: no command takes less than one.
std::uint64_t first_id() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count()) | 1u;
}

Value to_value(const Token& token) noexcept {
  Value value;
  switch (token.kind) {
    case Kind::nil: break;
    case Kind::boolean: value = Value(token.boolean); break;
    case Kind::whole: value = Value(token.whole); break;
    case Kind::negative: value = Value(token.negative); break;
    case Kind::real: value = Value(token.real); break;
    case Kind::text: value = Value(std::string_view(token.text, token.size)); break;
    case Kind::array: value.type = Value::Type::list; break;
    case Kind::map: value.type = Value::Type::map; break;
  }
  value.size = token.kind == Kind::array || token.kind == Kind::map ? token.size : 0;
  return value;
}

}  // namespace

struct Commander::State {
  State(const CommanderOptions& options, std::shared_ptr<Context> context)
      : socket((check_heartbeat("commands socket", options.heartbeat_ms), std::move(context)), ZMQ_DEALER,
               "commands socket"),
        reader(most_command_bytes) {
    socket.set(ZMQ_LINGER, 0);
    socket.set(ZMQ_RCVHWM, static_cast<int>(most_messages));
    // A command that nobody took in time must not be carried out later.
    socket.set(ZMQ_IMMEDIATE, 1);
    socket.set_heartbeat(options.heartbeat_ms);
    socket.set_largest_part(static_cast<std::int64_t>(most_command_bytes));
    socket.connect(options.endpoint, options.keys);
  }

  Sent send(std::string_view name, const Argument* arguments, std::size_t count, int timeout_ms, std::uint64_t& id,
            std::string_view inside) noexcept {
    if (is_forked()) return Sent::refused;
    UnderWay* place = find(0);
    if (place == nullptr) {
      std::snprintf(fault.message, sizeof fault.message, "command: expected at most %zu under way, got one more",
                    most_commands_under_way);
      return Sent::refused;
    }
    const std::size_t size =
        encode_command(next_id, name, arguments, count, inside, outgoing.data(), outgoing.size(), fault.message);
    if (size == 0) return Sent::refused;
    // ROUTER peers of REQ sockets expect an empty part first.
    if (zmq_send(socket.handle(), "", 0, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) return Sent::not_taken;
    if (zmq_send(socket.handle(), outgoing.data(), size, ZMQ_DONTWAIT) < 0) return Sent::not_taken;
    id = next_id++;
    *place = {id, Clock::now() + std::chrono::milliseconds(std::max(timeout_ms, 0)), ++statistics.sent};
    return Sent::yes;
  }

  // Whether this is a child after a fork; the error says so then.
  bool is_forked() noexcept {
    if (socket.usable()) return false;
    std::snprintf(fault.message, sizeof fault.message, "%s", forked_error);
    return true;
  }

  // The place of a command under way, or with 0 a free one.
  UnderWay* find(std::uint64_t id) noexcept {
    const auto found = std::find_if(under_way.begin(), under_way.end(), [id](const UnderWay& c) { return c.id == id; });
    return found == under_way.end() ? nullptr : &*found;
  }

  template <typename Before>
  UnderWay* first(Before before) noexcept {
    UnderWay* best = nullptr;
    for (UnderWay& command : under_way) {
      if (command.id != 0 && (best == nullptr || before(command, *best))) best = &command;
    }
    return best;
  }

  UnderWay* first_to_end() noexcept {
    return first([](const UnderWay& a, const UnderWay& b) { return a.deadline < b.deadline; });
  }

  // Reads one message. Whether it is the reply to a command under way.
  bool take_in(Reply& reply) noexcept {
    int size = socket.receive(incoming.data(), incoming.size());
    while (size >= 0 && socket.more()) size = socket.receive(incoming.data(), incoming.size());  // the last part
    holds_result = false;
    if (size < 0) return false;
    if (static_cast<std::size_t>(size) > incoming.size() || !decode(static_cast<std::size_t>(size), reply)) {
      ++statistics.malformed;
      return false;
    }
    UnderWay* place = reply.id == 0 ? nullptr : find(reply.id);
    if (reply.id == 0 && reply.code == reply_codes::malformed) {
      // The service could not read the id; it answers in order.
      place = first([](const UnderWay& a, const UnderWay& b) { return a.order < b.order; });
    }
    if (place == nullptr) {
      ++statistics.late;
      return false;
    }
    reply.id = place->id;
    *place = UnderWay{};
    ++statistics.replies;
    holds_result = true;
    return true;
  }

  bool decode(std::size_t size, Reply& reply) noexcept {
    if (!reader.read(incoming.data(), size)) {
      return reject(fault, Reason::malformed_header, "reply: expected a msgpack map, got other %zu bytes", size);
    }
    Fields fields(reader, reader.root(), {"reply"}, fault);
    std::uint64_t schema = 0;
    Text<64> type;
    if (!fields.whole("schema", schema_version, schema_version, schema) || !fields.text("type", type)) return false;
    if (type != "reply") return fields.reject("type", "'reply'", fields.value("type"));
    return fields.whole("id", reply.id) && fields.choice("status", reply_status_names, reply.status) &&
           fields.text("code", reply.code) && fields.text("message", reply.message) && fields.map("result") != nullptr;
  }

  Socket socket;
  MapReader reader;
  std::array<std::uint8_t, most_command_bytes> outgoing{};
  std::array<std::uint8_t, most_command_bytes> incoming{};
  std::array<UnderWay, most_commands_under_way> under_way{};
  std::uint64_t next_id = first_id();
  CommanderStatistics statistics;
  bool holds_result = false;
  Fault fault;
};

Commander::Commander(const CommanderOptions& options, std::shared_ptr<Context> context)
    : state_(new State(options, std::move(context))) {}

Commander::~Commander() = default;

Sent Commander::send(std::string_view name, const Argument* arguments, std::size_t count, int timeout_ms,
                     std::uint64_t& id, std::string_view inside) noexcept {
  return state_->send(name, arguments, count, timeout_ms, id, inside);
}

Answer Commander::poll(Reply& reply, int timeout_ms) noexcept {
  State& state = *state_;
  if (state.is_forked()) return Answer::none;
  const auto until = Clock::now() + std::chrono::milliseconds(std::max(timeout_ms, 0));
  while (true) {
    for (std::size_t messages = 0; messages < most_messages && state.socket.wait(0); ++messages) {
      if (state.take_in(reply)) return Answer::reply;
      if (timeout_ms > 0 && Clock::now() >= until) break;
    }
    const auto now = Clock::now();
    UnderWay* ending = state.first_to_end();
    if (ending != nullptr && ending->deadline <= now) {
      reply = Reply{};
      reply.id = ending->id;
      *ending = UnderWay{};
      ++state.statistics.timed_out;
      return Answer::timed_out;
    }
    if (until <= now) return Answer::none;
    const auto wake = ending == nullptr ? until : std::min(until, ending->deadline);
    state.socket.wait(static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wake - now).count()));
  }
}

bool Commander::result(std::string_view path, Value& value) const noexcept {
  if (!state_->holds_result) return false;
  const MapReader& reader = state_->reader;
  const Token* token = reader.find(reader.root(), "result");
  while (token != nullptr && !path.empty()) {
    if (token->kind != Kind::map) return false;
    const std::size_t dot = path.find('.');
    token = reader.find(*token, path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
  }
  if (token == nullptr) return false;
  value = to_value(*token);
  return true;
}

bool Commander::usable() const noexcept { return state_->socket.usable(); }

const CommanderStatistics& Commander::statistics() const noexcept { return state_->statistics; }

const char* Commander::last_error() const noexcept { return state_->fault.message; }

}  // namespace rubblemap
