// The receiver against a pretended service over real sockets: the newest, losses, malformed products, restarts, keys.
#include "rubblemap/receiver.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "fake_service.hpp"
#include "make_product.hpp"
#include "rubblemap/keys.hpp"

namespace {

using rubblemap::Reason;
using rubblemap::Receiver;
using rubblemap::ReceiverOptions;
using rubblemap::Topic;

ReceiverOptions options_for(const std::string& endpoint) {
  ReceiverOptions options;
  options.endpoint = endpoint;
  options.max_height = 64;
  options.max_width = 64;
  return options;
}

ProductMaker navigation(std::uint64_t sequence) {
  ProductMaker maker;
  maker.sequence = sequence;
  return maker;
}

bool has_planes_of(const rubblemap::Product& product, const ProductMaker& maker) {
  const auto contents = maker.planes();
  bool same = product.planes.size() == contents.size() && product.sequence == maker.sequence;
  for (std::size_t i = 0; same && i < contents.size(); ++i) {
    const rubblemap::Plane& plane = product.planes[i];
    same = plane.name == contents[i].name && plane.bytes.size == contents[i].bytes.size() &&
           std::memcmp(plane.bytes.data, contents[i].bytes.data(), plane.bytes.size) == 0;
  }
  return same;
}

// Polls until `count` messages were judged.
void settle(Receiver& receiver, Topic topic, std::uint64_t count) {
  for (int i = 0; i < 2000; ++i) {
    receiver.poll(0);
    if (receiver.statistics().of(topic).received + receiver.statistics().all_malformed() >= count) return;
    sleep_ms(5);
  }
  REQUIRE(!"all that was sent came");
}

void check_newest() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint);
  ReceiverOptions options = options_for(endpoint);
  options.topics = {Topic::navigation, Topic::hazard, Topic::full};
  Receiver receiver(options);
  service.wait_for_subscriptions(3);
  REQUIRE(receiver.poll(0) == 0 && !receiver.take() && !receiver.take(Topic::hazard));
  for (std::uint64_t i = 0; i < 100; ++i) service.send(navigation(i).message());
  ProductMaker hazard = navigation(5);
  hazard.topic = "map.hazard";
  service.send(hazard.message());
  ProductMaker full = navigation(9);
  full.topic = "map.full";
  service.send(full.message());
  while (receiver.poll(1000) < 3) {
  }
  const auto product = receiver.take();
  REQUIRE(product && product->topic == Topic::navigation && has_planes_of(*product, navigation(99)));
  REQUIRE(product->planes[2].bytes.data != nullptr);
  for (const rubblemap::Plane& plane : product->planes) {
    REQUIRE(reinterpret_cast<std::uintptr_t>(plane.bytes.data) % alignof(std::uint16_t) == 0);
  }
  REQUIRE(has_planes_of(*receiver.take(Topic::hazard), hazard));
  REQUIRE(has_planes_of(*receiver.take(), full));
  REQUIRE(!receiver.take());
  const auto& counts = receiver.statistics().of(Topic::navigation);
  REQUIRE(counts.received == 100 && counts.skipped == 99 && counts.lost == 0 && counts.restarts == 0);
  REQUIRE(receiver.statistics().all_malformed() == 0 && std::strlen(receiver.last_error()) == 0);
}

void check_that_taken_products_stay() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint);
  Receiver receiver(options_for(endpoint));
  service.wait_for_subscriptions(1);
  service.send(navigation(0).message());
  REQUIRE(receiver.poll(10000) == 1);
  auto first = receiver.take();
  for (std::uint64_t i = 1; i < 50; ++i) {
    service.send(navigation(i).message());
    settle(receiver, Topic::navigation, i + 1);
    const auto other = receiver.take();
    REQUIRE(has_planes_of(*other, navigation(i)) && has_planes_of(*first, navigation(0)));
    service.send(navigation(++i).message());
    REQUIRE(receiver.poll(10000) == 1);
    REQUIRE(!receiver.take() && !receiver.take(Topic::navigation));  // two are held
  }
  REQUIRE(receiver.statistics().not_taken == 2 * 25 && receiver.statistics().of(Topic::navigation).skipped == 24);
  first.reset();
  receiver.release(nullptr);
  REQUIRE(receiver.take());
}

void check_malformed() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint);
  Receiver receiver(options_for(endpoint));
  service.wait_for_subscriptions(1);
  const ProductMaker maker;
  Message flipped = maker.message(), shorter = maker.message(), longer = maker.message(), topic = maker.message();
  Message header = maker.message(), more = maker.message(), many = maker.message(), fewer = maker.message();
  flipped[4][0] ^= 0x80;
  shorter[2].pop_back();
  longer[2].resize(100'000);
  topic[0].push_back('x');
  header[1].resize(70'000);
  more.push_back({1});
  many.resize(40, Bytes(20'000));
  fewer.resize(1);
  ProductMaker larger;
  larger.height = larger.width = 65;
  Message endless_topic = maker.message();
  endless_topic[0].resize(5000, 'x');
  const std::pair<Message, Reason> cases[] = {{flipped, Reason::crc_mismatch},
                                              {shorter, Reason::size_mismatch},
                                              {longer, Reason::oversized_part},
                                              {topic, Reason::topic_mismatch},
                                              {header, Reason::oversized_part},
                                              {more, Reason::wrong_planes},
                                              {many, Reason::oversized_part},
                                              {fewer, Reason::wrong_parts},
                                              {larger.message(), Reason::oversized_part},
                                              {endless_topic, Reason::oversized_part},
                                              {maker.with(field("gamma", 11)), Reason::invalid_field},
                                              {maker.with(field("schema", 2)), Reason::unknown_schema}};
  std::array<std::uint64_t, rubblemap::reason_count> expected{};
  std::uint64_t sent = 0;
  for (const auto& [message, reason] : cases) {
    service.send(message);
    ++expected[static_cast<std::size_t>(reason)];
    settle(receiver, Topic::navigation, ++sent);
    REQUIRE(!receiver.take() && std::strlen(receiver.last_error()) > 0);
    REQUIRE(receiver.statistics().malformed == expected);
  }
  // What comes next is whole again.
  service.send(navigation(7).message());
  REQUIRE(receiver.poll(10000) == 1 && has_planes_of(*receiver.take(), navigation(7)));
  REQUIRE(receiver.statistics().of(Topic::navigation).received == 1);
}

// Maps that fit into what was set aside, and are yet larger than the options allow.
void check_limits() {
  const auto refuses = [](std::uint32_t max_classes, const ProductMaker& maker, const char* message) {
    const std::string endpoint = fresh_endpoint();
    FakePublisher service(endpoint);
    ReceiverOptions options = options_for(endpoint);
    options.topics = {Topic::navigation, Topic::full};
    options.max_classes = max_classes;
    Receiver receiver(options);
    service.wait_for_subscriptions(2);
    service.send(maker.message());
    ProductMaker right = navigation(1);
    right.height = right.width = 64;
    if (max_classes >= 3) service.send(right.message());
    settle(receiver, Topic::navigation, max_classes >= 3 ? 2 : 1);
    if (std::strcmp(receiver.last_error(), message) != 0) std::fprintf(stderr, "%s\n", receiver.last_error());
    REQUIRE(std::strcmp(receiver.last_error(), message) == 0);
    REQUIRE(receiver.statistics().malformed[static_cast<std::size_t>(Reason::oversized_part)] == 1);
    const auto product = receiver.take();
    REQUIRE(max_classes >= 3 ? has_planes_of(*product, right) : !product);
  };
  ProductMaker wide, high, full;
  wide.height = high.width = 8;
  wide.width = high.height = 512;
  full.topic = "map.full";
  refuses(3, wide, "map.planes: width: expected at most 64, as max_width says, got 512");
  refuses(3, high, "map.planes: height: expected at most 64, as max_height says, got 512");
  refuses(2, full, "map.classes: entries: expected at most 2, as max_classes says, got 3");
}

std::uint64_t judged(const Receiver& receiver) {
  return receiver.statistics().of(Topic::navigation).received + receiver.statistics().all_malformed();
}

// However many products keep coming, a poll ends.
void check_that_a_poll_ends() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint, 20000);  // libzmq learns in large steps what was read
  Receiver receiver(options_for(endpoint));
  service.wait_for_subscriptions(1);
  const Message message = navigation(0).message();
  for (int i = 0; i < 4000; ++i) service.send(message);
  REQUIRE(receiver.poll(10000) == 1 && judged(receiver) >= 1 && judged(receiver) <= 16 + 256);
  Message damaged = message;
  damaged[2][0] ^= 1;
  while (receiver.poll(100) > 0) receiver.take().reset();
  for (int i = 0; i < 4000; ++i) service.send(damaged);
  std::uint64_t before = judged(receiver);
  REQUIRE(receiver.poll(0) == 0 && judged(receiver) <= before + 16 + 256);
  // All of them are refused: the poll goes on until its time is over.
  before = judged(receiver);
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(receiver.poll(300) == 0);
  REQUIRE(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(300));
  settle(receiver, Topic::navigation, 8000);

  // Products 1 ms apart, so that each comes while a poll still waits behind the one before it.
  std::atomic<std::uint64_t> sent{judged(receiver)};
  std::atomic<bool> done{false};
  std::thread publishing([&] {
    while (!done) {
      ++sent;
      service.send(message);
      sleep_ms(1);
    }
  });
  std::array<std::uint64_t, 41> came_meanwhile{};
  for (std::uint64_t& came : came_meanwhile) {
    sleep_ms(5);
    const std::uint64_t sent_before = sent;
    receiver.poll(0);
    came = std::max(judged(receiver), sent_before) - sent_before;
  }
  done = true;
  publishing.join();
  // 2 or 3 each, and what comes while they are judged; a poll that a busy machine stops for a while may meet more.
  std::nth_element(came_meanwhile.begin(), came_meanwhile.begin() + 20, came_meanwhile.end());
  REQUIRE(came_meanwhile[20] < 40);
}

// A malformed product is a gap in the sequence, as for the Python subscriber.
void check_gaps_and_restart() {
  const std::string endpoint = fresh_endpoint();
  auto service = std::make_unique<FakePublisher>(endpoint);
  Receiver receiver(options_for(endpoint));
  service->wait_for_subscriptions(1);
  std::uint64_t sent = 0;
  for (const std::uint64_t sequence : {3, 4, 7, 8, 20}) {
    service->send(navigation(sequence).message());
    settle(receiver, Topic::navigation, ++sent);
  }
  Message damaged = navigation(21).message();
  damaged[2][0] ^= 1;
  service->send(damaged);
  service->send(navigation(22).message());
  settle(receiver, Topic::navigation, sent += 2);
  const auto& counts = receiver.statistics().of(Topic::navigation);
  REQUIRE(counts.lost == 2 + 11 + 1 && counts.restarts == 0 && receiver.statistics().all_malformed() == 1);
  service.reset();
  sleep_ms(100);
  service = std::make_unique<FakePublisher>(endpoint);
  // libzmq subscribes anew when it is called, so by polling.
  service->set(ZMQ_RCVTIMEO, 0);
  int polls = 0;
  for (; service->receive().empty() && polls < 1000; ++polls) {
    receiver.poll(0);
    sleep_ms(10);
  }
  REQUIRE(polls < 1000);
  for (const std::uint64_t sequence : {0, 1, 3}) {
    service->send(navigation(sequence).message());
    settle(receiver, Topic::navigation, ++sent);
  }
  REQUIRE(counts.lost == 14 + 1 && counts.restarts == 1);
  // A forged number is no loss: it costs two restarts. A gap that losses explain still counts.
  constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t sequence : {largest, std::uint64_t{5}, 6 + rubblemap::largest_gap + 1, std::uint64_t{6}}) {
    service->send(navigation(sequence).message());
    settle(receiver, Topic::navigation, ++sent);
  }
  REQUIRE(counts.lost == 14 + 1 && counts.restarts == 1 + 4);
  service->send(navigation(7 + rubblemap::largest_gap).message());
  settle(receiver, Topic::navigation, ++sent);
  REQUIRE(counts.lost == 14 + 1 + rubblemap::largest_gap && counts.restarts == 1 + 4);
}

// More than queues hold, while nobody reads: what is not received is counted as lost, to the last one.
void check_overload() {
  const std::string endpoint = fresh_endpoint();
  FakePublisher service(endpoint, 4);
  ReceiverOptions options = options_for(endpoint);
  options.queue = 4;
  Receiver receiver(options);
  service.wait_for_subscriptions(1);
  ProductMaker maker;
  maker.height = maker.width = 64;
  std::uint64_t last_taken = 0;
  constexpr std::uint64_t total = 3000;
  for (maker.sequence = 0; maker.sequence + 1 < total; ++maker.sequence) {
    service.send(maker.message());
    if (maker.sequence % 500 != 0) continue;
    receiver.poll(20);
    if (const auto product = receiver.take()) {
      REQUIRE(product->sequence >= last_taken && has_planes_of(*product, [&] {
                ProductMaker same = maker;
                same.sequence = product->sequence;
                return same;
              }()));
      last_taken = product->sequence;
    }
  }
  while (receiver.poll(200) > 0) receiver.take().reset();
  service.send(maker.message());
  REQUIRE(receiver.poll(10000) == 1 && receiver.take()->sequence == total - 1);
  const auto& counts = receiver.statistics().of(Topic::navigation);
  REQUIRE(counts.lost > 0 && counts.received + counts.lost == total && counts.restarts == 0);
  REQUIRE(receiver.statistics().all_malformed() == 0);
  std::printf("overload: %llu received, %llu lost\n", static_cast<unsigned long long>(counts.received),
              static_cast<unsigned long long>(counts.lost));
}

void write_file(const std::string& path, const std::string& text, mode_t mode = 0600) {
  std::ofstream(path) << text;
  REQUIRE(chmod(path.c_str(), mode) == 0);
}

bool opens(const ReceiverOptions& options, const char* error) {
  try {
    Receiver receiver(options);
    return true;
  } catch (const rubblemap::OpenError& caught) {
    if (std::strstr(caught.what(), error) == nullptr) std::fprintf(stderr, "%s\n", caught.what());
    REQUIRE(std::strstr(caught.what(), error) != nullptr);
    return false;
  }
}

void check_keys() {
  const TemporaryFolder temporary;
  const std::string folder = temporary.path();
  char service_public[41], service_secret[41], client_public[41], client_secret[41];
  REQUIRE(zmq_curve_keypair(service_public, service_secret) == 0);
  REQUIRE(zmq_curve_keypair(client_public, client_secret) == 0);
  const auto certificate = [](const char* public_key, const char* secret_key) {
    std::string text = "#   a comment\nmetadata\ncurve\n    public-key = \"" + std::string(public_key) + "\"\n";
    if (secret_key != nullptr) text += "    secret-key = \"" + std::string(secret_key) + "\"\n";
    return text;
  };
  const std::string endpoint = fresh_endpoint();
  ReceiverOptions options = options_for(endpoint);
  options.keys = folder;
  REQUIRE(!opens(options, "client.key_secret: expected a CURVE certificate"));
  write_file(folder + "/client.key_secret", certificate(client_public, client_secret), 0640);
  REQUIRE(!opens(options, "chmod 600"));
  write_file(folder + "/client.key_secret", certificate(client_public, nullptr));
  REQUIRE(!opens(options, "expected a secret-key of 40 characters Z85, got 0"));
  write_file(folder + "/client.key_secret", certificate(client_public, client_secret));
  REQUIRE(!opens(options, "service.key: expected a CURVE certificate"));
  write_file(folder + "/service.key", certificate("too short", nullptr));
  REQUIRE(!opens(options, "expected a public-key of 40 characters Z85, got 9"));
  write_file(folder + "/service.key", certificate(service_public, nullptr));

  FakePublisher service(endpoint, 1000, service_secret);
  Receiver receiver(options);
  service.wait_for_subscriptions(1);
  service.send(navigation(3).message());
  REQUIRE(receiver.poll(10000) == 1 && has_planes_of(*receiver.take(), navigation(3)));
  // Without the keys, and with those of another service, nothing comes.
  options.keys.clear();
  Receiver without(options);
  write_file(folder + "/service.key", certificate(client_public, nullptr));
  options.keys = folder;
  Receiver other(options);
  sleep_ms(200);
  service.send(navigation(4).message());
  REQUIRE(receiver.poll(10000) == 1 && without.poll(300) == 0 && other.poll(0) == 0);
}

// A service that was stopped is connected to anew.
void check_heartbeat() {
  const std::string endpoint = fresh_endpoint();
  int subscribed[2];
  REQUIRE(pipe(subscribed) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    FakePublisher service(endpoint);
    service.set(ZMQ_XPUB_VERBOSE, 1);  // the second connection's may come before the end of the first is seen
    int subscriptions = 0;
    while (subscriptions < 2) {
      const Message message = service.receive();
      if (message.size() != 1) _exit(1);
      subscriptions += message[0][0] == 1;
      if (write(subscribed[1], "", 1) != 1) _exit(1);
    }
    _exit(0);
  }
  ReceiverOptions options = options_for(endpoint);
  options.heartbeat_ms = 200;
  Receiver receiver(options);
  const auto poll_for = [&receiver](int ms) {
    for (int i = 0; i < ms / 20; ++i) receiver.poll(20);
  };
  REQUIRE(fcntl(subscribed[0], F_SETFL, O_NONBLOCK) == 0);
  char byte = 0;
  for (int i = 0; i < 1000 && read(subscribed[0], &byte, 1) != 1; ++i) receiver.poll(20);
  kill(child, SIGSTOP);
  poll_for(3000);
  kill(child, SIGCONT);
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 500 && ended == 0; ++i) {
    receiver.poll(20);
    ended = waitpid(child, &status, WNOHANG);
  }
  REQUIRE(ended == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(subscribed[0]);
  close(subscribed[1]);
}

void check_options() {
  ReceiverOptions options = options_for("tcp://127.0.0.1:1");
  REQUIRE(opens(options, ""));
  options.endpoint = "nonsense";
  REQUIRE(!opens(options, "products socket: cannot connect to nonsense"));
  options.endpoint = "tcp://127.0.0.1:1";
  options.max_height = 5000;
  REQUIRE(!opens(options, "receiver options: max_height: expected 1..4096"));
  options.max_height = 64;
  options.topics.clear();
  REQUIRE(!opens(options, "receiver options: topics"));
  options.topics = {Topic::navigation};
  options.heartbeat_ms = 2147483647;
  REQUIRE(!opens(options, "products socket: heartbeat_ms: expected 0..600000, got 2147483647"));
  options.heartbeat_ms = 600000;
  REQUIRE(opens(options, ""));
}

}  // namespace

int main() {
  check_heartbeat();  // first: it forks, before there are threads
  check_newest();
  check_that_taken_products_stay();
  check_malformed();
  check_limits();
  check_that_a_poll_ends();
  check_gaps_and_restart();
  check_overload();
  check_keys();
  check_options();
  std::puts("receiver: the newest, losses, malformed products, restarts and keys as they are to be");
  return 0;
}
