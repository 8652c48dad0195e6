#include "socket.hpp"

#include <unistd.h>
#include <zmq.h>

#include <algorithm>

#include "rubblemap/keys.hpp"

namespace rubblemap {

void check_heartbeat(const char* what, int ms) {
  if (ms >= 0 && ms <= longest_heartbeat_ms) return;
  throw OpenError(std::string(what) + ": heartbeat_ms: expected 0.." + std::to_string(longest_heartbeat_ms) + ", got " +
                  std::to_string(ms));
}

Context::Context() : handle_(zmq_ctx_new()), process_(getpid()) {
  if (handle_ == nullptr) throw OpenError(std::string("libzmq's context: ") + zmq_strerror(zmq_errno()));
}

bool Context::usable() const noexcept { return getpid() == process_; }

Context::~Context() {
  if (!usable()) return;
  while (zmq_ctx_term(handle_) != 0 && zmq_errno() == EINTR) {
  }
}

void Context::keep(std::shared_ptr<Lent> memory) {
  const std::lock_guard<std::mutex> held(lock_);
  drop_unused();
  kept_.push_back(std::move(memory));
}

void Context::prune() noexcept {
  const std::lock_guard<std::mutex> held(lock_);
  drop_unused();
}

std::size_t Context::kept() noexcept {
  const std::lock_guard<std::mutex> held(lock_);
  return kept_.size();
}

void Context::drop_unused() noexcept {
  // Of memory that only this list holds the owner is gone, so that nobody lends out more of it.
  const auto unused = [](const std::shared_ptr<Lent>& memory) { return memory.use_count() == 1 && !memory->in_use(); };
  kept_.erase(std::remove_if(kept_.begin(), kept_.end(), unused), kept_.end());
}

namespace {

void* make_socket(const Context& context, int kind, const char* what) {
  if (!context.usable()) throw OpenError(std::string(what) + ": expected a context of this process, got a parent's");
  return zmq_socket(context.handle(), kind);
}

}  // namespace

Socket::Socket(std::shared_ptr<Context> context, int kind, const char* what)
    : context_(context ? std::move(context) : std::make_shared<Context>()),
      handle_(make_socket(*context_, kind, what)),
      what_(what) {
  if (handle_ == nullptr) fail("cannot be made");
}

Socket::~Socket() {
  if (usable()) zmq_close(handle_);
}

void Socket::fail(const std::string& doing) const {
  throw OpenError(std::string(what_) + ": " + doing + ": " + zmq_strerror(zmq_errno()));
}

void Socket::set_bytes(int option, const void* value, std::size_t size) {
  if (zmq_setsockopt(handle_, option, value, size) != 0) fail("option " + std::to_string(option));
}

void Socket::set(int option, int value) { set_bytes(option, &value, sizeof value); }

void Socket::set_heartbeat(int ms) {
  if (ms == 0) return;
  set(ZMQ_HEARTBEAT_IVL, ms);
  set(ZMQ_HEARTBEAT_TIMEOUT, 3 * ms);
  // After so long without a word from here, the service ends the connection.
  set(ZMQ_HEARTBEAT_TTL, 3 * ms);
}

void Socket::set_largest_part(std::int64_t bytes) {
  bytes += curve_bytes;
  set_bytes(ZMQ_MAXMSGSIZE, &bytes, sizeof bytes);
}

void Socket::subscribe(const std::string& topic) { set_bytes(ZMQ_SUBSCRIBE, topic.data(), topic.size()); }

void Socket::use_keys(const std::string& folder) {
  if (zmq_has("curve") == 0) throw OpenError(std::string(what_) + ": keys: this libzmq was built without CURVE");
  const ClientKeys keys = load_client_keys(folder);
  // Z85 text, with its terminating zero.
  set_bytes(ZMQ_CURVE_SERVERKEY, keys.service_key.c_str(), keys.service_key.size() + 1);
  set_bytes(ZMQ_CURVE_PUBLICKEY, keys.public_key.c_str(), keys.public_key.size() + 1);
  set_bytes(ZMQ_CURVE_SECRETKEY, keys.secret_key.c_str(), keys.secret_key.size() + 1);
}

void Socket::connect(const std::string& endpoint, const std::string& keys) {
  if (endpoint.find('[') != std::string::npos) set(ZMQ_IPV6, 1);
  set(ZMQ_RECONNECT_IVL_MAX, 1000);
  if (!keys.empty()) use_keys(keys);
  if (zmq_connect(handle_, endpoint.c_str()) != 0) fail("cannot connect to " + endpoint);
}

bool Socket::wait(int timeout_ms) const noexcept {
  if (!usable()) return false;
  zmq_pollitem_t item{handle_, 0, ZMQ_POLLIN, 0};
  return zmq_poll(&item, 1, timeout_ms) > 0;
}

bool Socket::takes() const noexcept {
  if (!usable()) return false;
  int events = 0;
  std::size_t size = sizeof events;
  return zmq_getsockopt(handle_, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT) != 0;
}

bool Socket::more() const noexcept {
  if (!usable()) return false;
  int more = 0;
  std::size_t size = sizeof more;
  return zmq_getsockopt(handle_, ZMQ_RCVMORE, &more, &size) == 0 && more != 0;
}

int Socket::receive(void* buffer, std::size_t capacity) const noexcept {
  return usable() ? zmq_recv(handle_, buffer, capacity, ZMQ_DONTWAIT) : -1;
}

std::size_t Socket::discard_rest() const noexcept {
  std::size_t parts = 0;
  while (more() && receive(nullptr, 0) >= 0) ++parts;
  return parts;
}

}  // namespace rubblemap
