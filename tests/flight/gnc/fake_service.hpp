// A pretended service's sockets, in the test's own thread.
#pragma once

#include <unistd.h>
#include <zmq.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "check.hpp"

// A folder for sockets and files of this program, removed when it ends.
class TemporaryFolder {
public:
  TemporaryFolder() { REQUIRE(mkdtemp(path_) != nullptr); }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }

private:
  // A pattern for mkdtemp, short wherever TMPDIR may be: the path of a socket has room for 107 bytes.
  char path_[32] = "/tmp/rubblemap_gnc_XXXXXX";
};

inline std::string fresh_endpoint() {
  static const TemporaryFolder folder;
  static int number = 0;
  return "ipc://" + folder.path() + "/" + std::to_string(number++);
}

inline void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

class FakeSocket {
public:
  FakeSocket(int kind, const std::string& endpoint, int high_water_mark = 1000, const char* curve_secret = nullptr)
      : context_(zmq_ctx_new()), socket_(zmq_socket(context_, kind)) {
    set(ZMQ_LINGER, 0);
    set(ZMQ_SNDHWM, high_water_mark);
    set(ZMQ_RCVHWM, high_water_mark);
    set(ZMQ_RCVTIMEO, 10000);
    if (curve_secret != nullptr) {
      set(ZMQ_CURVE_SERVER, 1);
      REQUIRE(zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, curve_secret, 41) == 0);
    }
    REQUIRE(zmq_bind(socket_, endpoint.c_str()) == 0);
  }
  FakeSocket(const FakeSocket&) = delete;
  FakeSocket& operator=(const FakeSocket&) = delete;
  ~FakeSocket() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  void set(int option, int value) { REQUIRE(zmq_setsockopt(socket_, option, &value, sizeof value) == 0); }

  void send(const Message& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const int flags = i + 1 < parts.size() ? ZMQ_SNDMORE : 0;
      REQUIRE(zmq_send(socket_, parts[i].data(), parts[i].size(), flags) >= 0);
    }
  }

  // Empty when nothing comes within the socket's time-out.
  Message receive() {
    Message parts;
    int more = 1;
    while (more != 0) {
      zmq_msg_t part;
      zmq_msg_init(&part);
      if (zmq_msg_recv(&part, socket_, 0) < 0) return {};
      const auto* data = static_cast<const std::uint8_t*>(zmq_msg_data(&part));
      parts.emplace_back(data, data + zmq_msg_size(&part));
      more = zmq_msg_more(&part);
      zmq_msg_close(&part);
    }
    return parts;
  }

private:
  void* context_;
  void* socket_;
};

// XPUB tells of subscriptions, so that tests need not guess when they have arrived.
class FakePublisher : public FakeSocket {
public:
  explicit FakePublisher(const std::string& endpoint, int high_water_mark = 1000, const char* curve_secret = nullptr)
      : FakeSocket(ZMQ_XPUB, endpoint, high_water_mark, curve_secret) {}

  void wait_for_subscriptions(int count) {
    for (int i = 0; i < count; ++i) {
      const Message message = receive();
      REQUIRE(message.size() == 1 && message[0].size() > 1 && message[0][0] == 1);
    }
  }
};
