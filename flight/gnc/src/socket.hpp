// One connected libzmq socket.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rubblemap/context.hpp"

namespace rubblemap {

// What libzmq limits comes over the wire, and there CURVE adds so many bytes to every part.
inline constexpr std::int64_t curve_bytes = 33;

inline constexpr int longest_heartbeat_ms = 600000;
// Throws OpenError unless Socket::set_heartbeat takes it; before anything is set aside. what: "products socket".
void check_heartbeat(const char* what, int ms);

// What a call says in a child that was forked after opening.
inline constexpr const char* forked_error =
    "socket: expected use in the process that opened it, got a child after a fork: open another there";

// In a forked child nothing comes and nothing is taken, at once.
class Socket {
public:
  // kind: ZMQ_SUB and the like. what: for errors, "products socket". A context of its own when none is given.
  Socket(std::shared_ptr<Context> context, int kind, const char* what);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void set(int option, int value);
  // Asks the service every so many milliseconds whether it is there; one that says nothing for three times as long
  // after that is connected to anew: silence is noticed within four times as long. 0: never.
  void set_heartbeat(int ms);
  void set_largest_part(std::int64_t bytes);
  void subscribe(const std::string& topic);
  // keys: a client's folder, or empty. Options are to be set before.
  void connect(const std::string& endpoint, const std::string& keys);

  void* handle() const noexcept { return handle_; }
  Context& context() const noexcept { return *context_; }
  bool usable() const noexcept { return context_->usable(); }

  // Whether a message has come, after waiting for one at most timeout_ms.
  bool wait(int timeout_ms) const noexcept;
  // Whether a message would be taken now.
  [[nodiscard]] bool takes() const noexcept;
  // Whether the message that is being read has further parts.
  [[nodiscard]] bool more() const noexcept;
  // Receives a part, as much as fits; returns its full size, or -1 when there is none.
  [[nodiscard]] int receive(void* buffer, std::size_t capacity) const noexcept;
  // Reads what is left of a message. Returns how many parts that were.
  std::size_t discard_rest() const noexcept;

private:
  void use_keys(const std::string& folder);
  [[noreturn]] void fail(const std::string& doing) const;
  void set_bytes(int option, const void* value, std::size_t size);

  std::shared_ptr<Context> context_;
  void* handle_;
  const char* what_;
};

}  // namespace rubblemap
