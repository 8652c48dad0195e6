// Between opening and closing the library allocates nothing in the caller's thread. What libzmq allocates there is told
// apart by the caller's address, and bounded: nothing while products are received, some bytes for each message sent.
#include <dlfcn.h>

#include <cerrno>
#include <new>

#include "fake_service.hpp"
#include "make_product.hpp"
#include "rubblemap/commander.hpp"
#include "rubblemap/frame_sender.hpp"
#include "rubblemap/receiver.hpp"
#include "rubblemap_gnc.h"

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
}

namespace {

struct Counts {
  std::uint64_t own = 0;
  std::uint64_t libzmq = 0;
  std::uint64_t libzmq_bytes = 0;
};

// Of this thread only; the pretended service has one of its own.
thread_local bool counting = false;
thread_local Counts counts;

void count(const void* caller, std::size_t size) {
  if (!counting) return;
  counting = false;
  Dl_info info{};
  const bool known = dladdr(caller, &info) != 0 && info.dli_fname != nullptr;
  if (known && std::string_view(info.dli_fname).find("libzmq") != std::string_view::npos) {
    ++counts.libzmq;
    counts.libzmq_bytes += size;
  } else {
    ++counts.own;
  }
  counting = true;
}

void* counted_new(const void* caller, std::size_t size) {
  count(caller, size);
  return __libc_malloc(size);
}

}  // namespace

#define CALLER __builtin_return_address(0)

extern "C" {
void* malloc(std::size_t size) {
  count(CALLER, size);
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) {
  count(CALLER, number * size);
  return __libc_calloc(number, size);
}
void* realloc(void* memory, std::size_t size) {
  count(CALLER, size);
  return __libc_realloc(memory, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  count(CALLER, size);
  *result = __libc_memalign(alignment, size);
  return *result == nullptr ? ENOMEM : 0;
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count(CALLER, size);
  return __libc_memalign(alignment, size);
}
}

void* operator new(std::size_t size) {
  void* memory = counted_new(CALLER, size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new[](std::size_t size) {
  void* memory = counted_new(CALLER, size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted_new(CALLER, size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted_new(CALLER, size); }
void operator delete(void* memory) noexcept { __libc_free(memory); }
void operator delete[](void* memory) noexcept { __libc_free(memory); }
void operator delete(void* memory, std::size_t) noexcept { __libc_free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { __libc_free(memory); }

namespace {

Counts counted() {
  counting = false;
  const Counts result = counts;
  counts = Counts{};
  return result;
}

void show(const char* what, std::uint64_t number, const Counts& result) {
  std::printf("%s: %llu; allocations in the caller's thread: %llu by the library, %llu (%llu bytes) by libzmq\n", what,
              static_cast<unsigned long long>(number), static_cast<unsigned long long>(result.own),
              static_cast<unsigned long long>(result.libzmq), static_cast<unsigned long long>(result.libzmq_bytes));
}

// That the counting sees what it is to see.
void check_counting() {
  counting = true;
  std::string text(100, 'x');
  Bytes bytes(text.size());
  void* const memory = malloc(bytes.size());
  const Counts result = counted();
  free(memory);
  REQUIRE(result.own == 3 && result.libzmq == 0);
  void* const context = zmq_ctx_new();
  counting = true;
  void* const socket = zmq_socket(context, ZMQ_PUB);
  REQUIRE(counted().libzmq > 0);
  zmq_close(socket);
  zmq_ctx_term(context);
}

void check_receiving() {
  constexpr std::uint64_t total = 1500;
  const std::string endpoint = fresh_endpoint();
  std::atomic<bool> restart{false}, done{false};
  std::thread service([&] {
    for (int run = 0; run < 2; ++run) {
      FakePublisher publisher(endpoint);
      publisher.wait_for_subscriptions(2);
      ProductMaker navigation, hazard;
      hazard.topic = "map.hazard";
      hazard.height = hazard.width = navigation.height = navigation.width = 128;
      Message damaged = hazard.message();
      damaged[3][5] ^= 1;
      Message large = navigation.message();
      large[2].resize(3'000'000);
      for (std::uint64_t i = 0; i < total; ++i) {
        navigation.sequence = hazard.sequence = i;
        publisher.send(navigation.message());
        publisher.send(i % 100 == 7 ? damaged : hazard.message());
        if (i % 100 == 9) publisher.send(large);
        sleep_ms(1);
      }
      while (run == 0 ? !restart : !done) sleep_ms(1);
    }
  });
  rubblemap::ReceiverOptions options;
  options.endpoint = endpoint;
  options.topics = {rubblemap::Topic::navigation, rubblemap::Topic::hazard};
  rubblemap::Receiver receiver(options);
  const auto receive = [&receiver](std::uint64_t restarts) {
    const auto& of = receiver.statistics().of(rubblemap::Topic::navigation);
    counting = true;
    while (of.received + of.lost < total * (restarts + 1) || of.restarts < restarts) {
      receiver.poll(100);
      for (auto product = receiver.take(); product; product = receiver.take()) {
        if (product->planes.empty()) return Counts{1, 1, 1};
      }
    }
    return counted();
  };
  const Counts first = receive(0);
  show("products received", receiver.statistics().of(rubblemap::Topic::navigation).received, first);
  restart = true;
  const Counts second = receive(1);
  show("products received, and one restart", receiver.statistics().of(rubblemap::Topic::navigation).received, second);
  done = true;
  service.join();
  REQUIRE(receiver.statistics().all_malformed() > 0);
  REQUIRE(first.own == 0 && second.own == 0);
  REQUIRE(first.libzmq <= 4 && second.libzmq <= 16);
}

void check_sending() {
  constexpr std::uint64_t total = 1000;
  const std::string frames_endpoint = fresh_endpoint(), commands_endpoint = fresh_endpoint();
  std::thread camera_service([&] {
    FakeSocket frames(ZMQ_PULL, frames_endpoint);
    for (std::uint64_t i = 0; i < total; ++i) frames.receive();
  });
  std::atomic<bool> answered{false};
  std::thread command_service([&] {
    FakeSocket commands(ZMQ_ROUTER, commands_endpoint);
    for (std::uint64_t i = 0; i < total; ++i) {
      const Message message = commands.receive();
      const auto handle = msgpack::unpack(reinterpret_cast<const char*>(message[2].data()), message[2].size());
      msgpack::sbuffer buffer;
      msgpack::packer<msgpack::sbuffer> out(buffer);
      out.pack_map(7).pack("schema").pack(1).pack("type").pack("reply").pack("id");
      out.pack(handle.get().as<std::map<std::string, msgpack::object>>().at("id"));
      out.pack("status").pack("completed").pack("code").pack("ok").pack("message").pack("").pack("result");
      out.pack(std::map<std::string, std::string>{{"state", "ready"}});
      commands.send({message[0], {}, Bytes(buffer.data(), buffer.data() + buffer.size())});
    }
    while (!answered) sleep_ms(1);  // closing would discard the last reply
  });
  rubblemap::FrameSenderOptions sending;
  sending.endpoint = frames_endpoint;
  rubblemap::FrameSender sender(sending);
  rubblemap::Commander commander({commands_endpoint, ""});
  const Bytes pixels(512 * 512);
  rubblemap::Frame frame;
  frame.pixels = pixels.data();
  frame.height = frame.width = 512;

  counting = true;
  while (sender.sent() < total) {
    const rubblemap::Sent sent = sender.send(frame);
    if (sent == rubblemap::Sent::refused) break;
    if (sent == rubblemap::Sent::not_taken) sleep_ms(1);
  }
  const Counts frames = counted();
  REQUIRE(sender.sent() == total);
  show("frames sent", total, frames);

  counting = true;
  const rubblemap::Argument arguments[] = {{"name", "passes"}, {"value", 10}};
  rubblemap::Reply reply;
  rubblemap::Value value;
  while (commander.statistics().replies < total) {
    std::uint64_t id = 0;
    if (commander.send("set_parameter", arguments, 2, 10000, id) != rubblemap::Sent::yes) continue;
    if (commander.poll(reply, 10000) != rubblemap::Answer::reply || !commander.result("state", value)) break;
  }
  const Counts commands = counted();
  answered = true;
  REQUIRE(commander.statistics().replies == total);
  show("commands answered", total, commands);
  camera_service.join();
  command_service.join();
  REQUIRE(frames.own == 0 && commands.own == 0);
  // Of a frame's pixels libzmq copies nothing: it keeps a count of references to each of the two parts.
  REQUIRE(frames.libzmq < 3 * total && frames.libzmq_bytes < 300 * total);
}

// The memory of the consumers is that of the handle.
void check_consumers() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint);
  rubblemap_options options;
  rubblemap_gnc* gnc = nullptr;
  rubblemap_default_options(&options);
  options.products_endpoint = endpoint.c_str();
  options.topics = RUBBLEMAP_TOPIC_NAVIGATION | RUBBLEMAP_TOPIC_HAZARD;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  service.wait_for_subscriptions(2);
  ProductMaker navigation, hazard;
  hazard.topic = "map.hazard";
  navigation.height = navigation.width = hazard.height = hazard.width = 256;
  service.send(navigation.message());
  service.send(hazard.message());
  const auto take = [gnc](rubblemap_topic topic) {
    const rubblemap_product* product = nullptr;
    for (int i = 0; i < 1000 && rubblemap_take_topic(gnc, topic, &product) != RUBBLEMAP_OK; ++i) {
      rubblemap_poll(gnc, 10);
    }
    REQUIRE(product != nullptr);
    return product;
  };
  const rubblemap_product* const first = take(RUBBLEMAP_NAVIGATION);
  const rubblemap_product* const second = take(RUBBLEMAP_HAZARD);
  rubblemap_fix fix;
  rubblemap_landing landing;
  counting = true;
  const rubblemap_code fixed = rubblemap_navigation_fix(gnc, first, &fix);
  const rubblemap_code landed = rubblemap_landing_circles(gnc, second, 1e-9, RUBBLEMAP_MOST_CIRCLES, &landing);
  const Counts result = counted();
  REQUIRE(fixed == RUBBLEMAP_OK && fix.body_pixels > 0 && landed == RUBBLEMAP_OK);
  REQUIRE(result.own == 0 && result.libzmq == 0);
  rubblemap_close(gnc);
}

}  // namespace

int main() {
  check_counting();
  check_receiving();
  check_sending();
  check_consumers();
  return 0;
}
