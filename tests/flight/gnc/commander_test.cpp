// The commander against a pretended service: replies matched, time-outs, late and malformed replies.
#include "rubblemap/commander.hpp"

#include <cstring>
#include <msgpack.hpp>

#include "fake_service.hpp"
#include "forked_service.hpp"
#include "silent_link.hpp"

namespace {

using rubblemap::Answer;
using rubblemap::Argument;
using rubblemap::Commander;
using rubblemap::Reply;
using rubblemap::ReplyStatus;
using rubblemap::Sent;
using rubblemap::Value;

class Service : public FakeSocket {
public:
  explicit Service(const std::string& endpoint) : FakeSocket(ZMQ_ROUTER, endpoint) {}

  // The next command: its map, as text. Keeps whom to answer.
  std::string command(std::uint64_t& id) {
    const Message message = receive();
    REQUIRE(message.size() == 3 && message[1].empty());
    sender_ = message[0];
    const auto handle = msgpack::unpack(reinterpret_cast<const char*>(message[2].data()), message[2].size());
    id = handle.get().as<std::map<std::string, msgpack::object>>().at("id").as<std::uint64_t>();
    std::ostringstream text;
    text << handle.get();
    return text.str();
  }

  void answer(const Bytes& reply) { send({sender_, {}, reply}); }

  void answer(std::uint64_t id, const char* status = "completed", const char* code = "ok", const char* type = "reply") {
    msgpack::sbuffer buffer;
    msgpack::packer<msgpack::sbuffer> out(buffer);
    out.pack_map(7);
    out.pack("schema").pack(1).pack("type").pack(type).pack("id").pack(id).pack("status").pack(status);
    out.pack("code").pack(code).pack("message").pack("why").pack("result");
    out.pack_map(3).pack("counters").pack(std::map<std::string, int>{{"frames_received", 41}});
    out.pack("temperature").pack(-2.5).pack("state").pack("ready");
    answer(Bytes(buffer.data(), buffer.data() + buffer.size()));
  }

private:
  Bytes sender_;
};

std::uint64_t send(Commander& commander, int timeout_ms = 10000) {
  std::uint64_t id = 0;
  for (int i = 0; i < 1000; ++i) {
    const Sent sent = commander.send("no_op", nullptr, 0, timeout_ms, id);
    if (sent == Sent::yes) return id;
    REQUIRE(sent == Sent::not_taken);
    sleep_ms(5);
  }
  REQUIRE(!"taken");
  return 0;
}

void check_commands(Commander& commander, Service& service) {
  std::uint64_t id = send(commander), came = 0;
  REQUIRE(service.command(came).find("\"name\":\"no_op\",\"arguments\":{}") != std::string::npos && came == id);
  Reply reply;
  REQUIRE(commander.poll(reply, 0) == Answer::none);
  service.answer(id);
  REQUIRE(commander.poll(reply, 10000) == Answer::reply);
  REQUIRE(reply.id == id && reply.status == ReplyStatus::completed && reply.code == "ok" && reply.message == "why");
  Value value;
  REQUIRE(commander.result("counters.frames_received", value) && value.type == Value::Type::whole && value.whole == 41);
  REQUIRE(commander.result("temperature", value) && value.real == -2.5);
  REQUIRE(commander.result("state", value) && value.text == "ready");
  REQUIRE(commander.result("", value) && value.type == Value::Type::map && value.size == 3);
  REQUIRE(!commander.result("state.more", value) && !commander.result("counters.none", value));

  const Argument arguments[] = {
      {"passes", 10}, {"gamma", 2.0}, {"publish_full", true}, {"centering", "off"}, {"x", -7}};
  REQUIRE(commander.send("set_parameters", arguments, 5, 1000, id, "values") == Sent::yes);
  const std::string text = service.command(came);
  REQUIRE(text.find("\"arguments\":{\"values\":{\"passes\":10,\"gamma\":2,\"publish_full\":true,"
                    "\"centering\":\"off\",\"x\":-7}}") != std::string::npos);
  service.answer(id, "rejected", "unknown_parameter");
  REQUIRE(commander.poll(reply, 10000) == Answer::reply);
  REQUIRE(reply.status == ReplyStatus::rejected && reply.code == "unknown_parameter");
}

void check_several_at_once(Commander& commander, Service& service) {
  std::uint64_t ids[rubblemap::most_commands_under_way];
  for (std::uint64_t& id : ids) id = send(commander);
  std::uint64_t one_more = 0;
  REQUIRE(commander.send("no_op", nullptr, 0, 1000, one_more) == Sent::refused);
  REQUIRE(std::strstr(commander.last_error(), "at most 16 under way") != nullptr);
  for (const std::uint64_t id : ids) {
    std::uint64_t came = 0;
    service.command(came);
    REQUIRE(came == id);
  }
  Reply reply;
  for (std::size_t i = rubblemap::most_commands_under_way; i-- > 0;) {
    service.answer(ids[i]);
    REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == ids[i]);
  }
}

void check_bad_replies(Commander& commander, Service& service) {
  const auto before = commander.statistics();
  const std::uint64_t late = send(commander, 50);
  std::uint64_t came = 0;
  service.command(came);
  Reply reply;
  REQUIRE(commander.poll(reply, 10000) == Answer::timed_out && reply.id == late);
  REQUIRE(commander.poll(reply, 0) == Answer::none);
  const std::uint64_t id = send(commander);
  service.command(came);
  service.answer(late);
  service.answer(id, "completed", "ok", "event");
  service.answer(id, "perhaps");
  service.answer(Bytes{0xC1});
  service.answer(Bytes(70'000));  // beyond the limit: libzmq ends the connection
  REQUIRE(commander.poll(reply, 500) == Answer::none);
  Value value;
  REQUIRE(!commander.result("", value));
  REQUIRE(commander.statistics().late == before.late + 1);
  REQUIRE(commander.statistics().malformed == before.malformed + 3);
  REQUIRE(commander.statistics().timed_out == before.timed_out + 1);
}

// Of what it cannot read, the service does not know the id.
void check_malformed_command(const std::string& endpoint, Service& service) {
  Commander commander({endpoint, ""});
  const std::uint64_t id = send(commander);
  std::uint64_t came = 0;
  service.command(came);
  service.answer(0, "rejected", "malformed");
  Reply reply;
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id && reply.code == "malformed");
  REQUIRE(commander.statistics().replies == 1);
}

// More late and malformed replies than one poll may read.
void check_that_a_poll_ends(const std::string& endpoint, Service& service) {
  Commander commander({endpoint, ""});
  Reply reply;
  const auto dropped = [&commander] { return commander.statistics().late + commander.statistics().malformed; };
  const std::uint64_t late = send(commander, 0);
  std::uint64_t came = 0;
  service.command(came);
  REQUIRE(commander.poll(reply, 0) == Answer::timed_out && reply.id == late);
  const std::uint64_t ending = send(commander, 0), id = send(commander);
  service.command(came);
  service.command(came);
  for (int i = 0; i < 400; ++i) i % 2 == 0 ? service.answer(late) : service.answer(Bytes{0xC1});
  service.answer(id);
  sleep_ms(500);
  // The time-out of another command does not wait for them either.
  REQUIRE(commander.poll(reply, 0) == Answer::timed_out && reply.id == ending && dropped() > 0 && dropped() <= 64);
  REQUIRE(commander.poll(reply, 0) == Answer::none && dropped() <= 128);
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id && dropped() == 400);

  // Replies without end, while a poll waits.
  std::atomic<bool> done{false};
  std::thread answering([&] {
    while (!done) service.answer(late);
  });
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(commander.poll(reply, 200) == Answer::none);
  const auto took = std::chrono::steady_clock::now() - start;
  done = true;
  answering.join();
  REQUIRE(took >= std::chrono::milliseconds(200) && took < std::chrono::seconds(2));
}

// To a service that is stopped nothing is sent once that is noticed.
void check_stopped_service() {
  const std::string endpoint = fresh_endpoint();
  ForkedService forked([&endpoint] {
    Service service(endpoint);
    service.set(ZMQ_RCVTIMEO, -1);
    for (std::uint64_t id = 0;;) {
      service.command(id);
      service.answer(id);
    }
  });
  rubblemap::CommanderOptions options;
  options.endpoint = endpoint;
  options.heartbeat_ms = 200;
  Commander commander(options);
  std::uint64_t id = send(commander);
  Reply reply;
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id);
  forked.stop();
  Sent sent = Sent::yes;
  for (int i = 0; i < 100 && sent == Sent::yes; ++i) {
    sent = commander.send("no_op", nullptr, 0, 0, id);
    static_cast<void>(commander.poll(reply, 0));  // its time-out, or nothing yet
    sleep_ms(50);
  }
  REQUIRE(sent == Sent::not_taken);
  // Nor to the connection that the kernel makes for it meanwhile.
  for (int i = 0; i < 30; ++i, sleep_ms(50)) REQUIRE(commander.send("no_op", nullptr, 0, 0, id) == Sent::not_taken);
  forked.go_on();
  id = send(commander);
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id);
}

// Nor over a link that is silent. When it is back, nothing is carried out that was not taken.
void check_silent_link() {
  const std::string endpoint = fresh_endpoint();
  Service service(endpoint);
  SilentLink link(endpoint);
  rubblemap::CommanderOptions options;
  options.endpoint = link.endpoint();
  options.heartbeat_ms = 200;
  Commander commander(options);
  Reply reply;
  std::uint64_t came = 0, ignored = 0, id = send(commander);
  service.command(came);
  service.answer(came);
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id);
  link.go_silent();
  const auto start = std::chrono::steady_clock::now();
  while (commander.send("no_op", nullptr, 0, 0, ignored) == Sent::yes) {
    REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
    REQUIRE(commander.poll(reply, 0) == Answer::timed_out);
    sleep_ms(20);
  }
  REQUIRE(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(200));
  for (int i = 0; i < 50; ++i, sleep_ms(20)) {
    REQUIRE(commander.send("shutdown", nullptr, 0, 0, ignored) == Sent::not_taken);
  }
  link.come_back();
  id = send(commander);
  // Commands that were taken before the silence was noticed may come late.
  while (came != id) REQUIRE(service.command(came).find("shutdown") == std::string::npos && came <= id);
  service.answer(id);
  REQUIRE(commander.poll(reply, 10000) == Answer::reply && reply.id == id);
}

void check_options() {
  const auto refuses = [](rubblemap::CommanderOptions options, const char* text) {
    try {
      Commander commander(options);
    } catch (const rubblemap::OpenError& error) {
      REQUIRE(std::strstr(error.what(), text) != nullptr);
      return;
    }
    REQUIRE(!"refused");
  };
  refuses({fresh_endpoint(), "", -1}, "commands socket: heartbeat_ms: expected 0..600000, got -1");
  refuses({fresh_endpoint(), "", 2147483647}, "expected 0..600000, got 2147483647");
  refuses({fresh_endpoint(), "/nowhere", 0}, "/nowhere/client.key_secret");
}

}  // namespace

int main() {
  check_stopped_service();  // first: it forks, before there are threads
  const std::string endpoint = fresh_endpoint();
  Commander commander({endpoint, ""});
  std::uint64_t id = 0;
  REQUIRE(commander.send("no_op", nullptr, 0, 1000, id) == Sent::not_taken);
  Service service(endpoint);
  check_commands(commander, service);
  check_several_at_once(commander, service);
  check_bad_replies(commander, service);
  check_malformed_command(endpoint, service);
  check_that_a_poll_ends(endpoint, service);
  check_silent_link();
  check_options();
  std::puts("commander: replies matched; late and malformed ones counted");
  return 0;
}
