// The operator's side: commands and their replies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "rubblemap/bounded.hpp"
#include "rubblemap/context.hpp"
#include "rubblemap/frame_sender.hpp"
#include "rubblemap/icd.hpp"
#include "rubblemap/value.hpp"

namespace rubblemap {

inline constexpr std::size_t most_commands_under_way = 16;

struct CommanderOptions {
  std::string endpoint = default_commands_endpoint;
  std::string keys;         // a client's folder, for a service with CURVE keys
  int heartbeat_ms = 2000;  // silent for three of these: a service gets no commands; 0..600000, 0: never
};

// The answer to the command of this id. code: one of reply_codes, or of a later version of the service.
struct Reply {
  std::uint64_t id = 0;
  ReplyStatus status = ReplyStatus::failed;
  Text<64> code;
  Text<1024> message;
};

enum class [[nodiscard]] Answer : std::uint8_t{
    none,       // nothing came
    reply,      // the reply to a command that is under way
    timed_out,  // no reply to the command `id` came in its time
};

struct CommanderStatistics {
  std::uint64_t sent = 0;
  std::uint64_t replies = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t late = 0;       // replies to commands that had timed out; dropped
  std::uint64_t malformed = 0;  // replies that break the contract; dropped
};

// Sends commands and matches replies. For use from one thread at a time. Allocates when it is opened, never again
// (libzmq does, for each message).
class Commander {
public:
  // Throws OpenError (KeyFileError among them), or std::bad_alloc. context: shared with other sockets, if given.
  explicit Commander(const CommanderOptions& options, std::shared_ptr<Context> context = nullptr);
  ~Commander();
  Commander(const Commander&) = delete;
  Commander& operator=(const Commander&) = delete;

  // Sends a command without waiting. inside: the name of a map to put the arguments into, as set_parameters wants its
  // "values"; empty: none. timeout_ms: for the reply; load_bundle, validate_bundle, activate_bundle and self_test take
  // time. id: of the command. not_taken: no service is there, or its silence was noticed; nothing will be carried out
  // later. yes: handed over to libzmq, and then to the kernel. Until silence is noticed, within four heartbeats, that
  // may be to a service that is not there; if it comes back it may carry the command out late, after its time-out here.
  Sent send(std::string_view name, const Argument* arguments, std::size_t count, int timeout_ms, std::uint64_t& id,
            std::string_view inside = {}) noexcept;

  // The next reply, or time-out, of a command under way; waits for it at most timeout_ms, 0 not to wait. Reads at most
  // 64 messages after that, however many late and malformed replies have come.
  Answer poll(Reply& reply, int timeout_ms) noexcept;

  // A value of the last reply's result, by its keys with dots between them ("counters.frames_received"). False when
  // there is none. Texts are valid until the next poll().
  [[nodiscard]] bool result(std::string_view path, Value& value) const noexcept;

  // Whether this process opened it. False in a child that was forked after that, for which it does nothing: every call
  // returns at once, and last_error() says why.
  bool usable() const noexcept;

  const CommanderStatistics& statistics() const noexcept;
  const char* last_error() const noexcept;

private:
  struct State;
  std::unique_ptr<State> state_;
};

// Encodes a command as flight.icd.control does, byte for byte. error: room for one line. Returns the bytes used, 0,
// with the error, for a command that breaks the contract or a buffer that is too short.
[[nodiscard]] std::size_t encode_command(std::uint64_t id, std::string_view name, const Argument* arguments,
                                         std::size_t count, std::string_view inside, std::uint8_t* buffer,
                                         std::size_t capacity, char (&error)[256]) noexcept;

}  // namespace rubblemap
