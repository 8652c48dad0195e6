// A TCP link to a pretended service that can go silent and come back, as a radio or a cable does.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <list>

#include "fake_service.hpp"

// While silent it passes nothing on, lets nobody in and closes nothing. That is more than a stopped process does, for
// which the kernel still takes connections and what is sent over them.
class SilentLink {
public:
  explicit SilentLink(const std::string& service) : service_(service.substr(std::strlen("ipc://"))) {
    listen_at(0);
    thread_ = std::thread([this] { pass_on(); });
  }
  SilentLink(const SilentLink&) = delete;
  SilentLink& operator=(const SilentLink&) = delete;
  ~SilentLink() {
    wanted_ = State::ended;
    thread_.join();
    for (const Wire& wire : wires_) close_both(wire);
    if (listener_ >= 0) close(listener_);
  }

  std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port_); }

  void go_silent() { become(State::silent); }
  void come_back() { become(State::open); }

private:
  enum class State { open, silent, ended };
  struct Wire {
    int near, far;
  };

  void listen_at(std::uint16_t port) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    REQUIRE(bind(listener_, any, size) == 0 && listen(listener_, 8) == 0 && getsockname(listener_, any, &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  void become(State state) {
    wanted_ = state;
    while (is_ != state) sleep_ms(1);
  }

  void pass_on() {
    while (wanted_ != State::ended) {
      if (wanted_ == State::silent && listener_ >= 0) {
        close(listener_);
        listener_ = -1;
      }
      if (wanted_ == State::open && listener_ < 0) listen_at(port_);
      is_ = wanted_.load();
      if (is_ == State::open) {
        pass_on_what_has_come();
      } else {
        sleep_ms(2);
      }
    }
  }

  void pass_on_what_has_come() {
    std::vector<pollfd> ends{{listener_, POLLIN, 0}};
    for (const Wire& wire : wires_) {
      ends.push_back({wire.near, POLLIN, 0});
      ends.push_back({wire.far, POLLIN, 0});
    }
    if (poll(ends.data(), ends.size(), 5) <= 0) return;
    std::size_t at = 1;
    for (auto wire = wires_.begin(); wire != wires_.end(); at += 2) {
      const bool holds = (ends[at].revents == 0 || pass(wire->near, wire->far)) &&
                         (ends[at + 1].revents == 0 || pass(wire->far, wire->near));
      if (!holds) close_both(*wire);
      wire = holds ? std::next(wire) : wires_.erase(wire);
    }
    if (ends[0].revents != 0) let_in();
  }

  void let_in() {
    const int near = accept(listener_, nullptr, nullptr), far = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(near >= 0 && far >= 0 && service_.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, service_.c_str(), service_.size() + 1);
    REQUIRE(connect(far, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    wires_.push_back({near, far});
  }

  static bool pass(int from, int to) {
    char bytes[65536];
    const ssize_t size = recv(from, bytes, sizeof bytes, 0);
    for (ssize_t sent = 0, done = 0; sent < size; sent += done) {
      done = send(to, bytes + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
      if (done < 0) return false;
    }
    return size > 0;
  }

  static void close_both(const Wire& wire) {
    close(wire.near);
    close(wire.far);
  }

  const std::string service_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::list<Wire> wires_;
  std::atomic<State> wanted_{State::open}, is_{State::open};
  std::thread thread_;
};
