// The commander against a pretended service: replies matched, time-outs, late and malformed replies.
#include <cstring>
#include <msgpack.hpp>

#include "fake_service.hpp"
#include "rubblemap/commander.hpp"

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

}  // namespace

int main() {
  const std::string endpoint = fresh_endpoint();
  Commander commander({endpoint, ""});
  std::uint64_t id = 0;
  REQUIRE(commander.send("no_op", nullptr, 0, 1000, id) == Sent::not_taken);
  Service service(endpoint);
  check_commands(commander, service);
  check_several_at_once(commander, service);
  check_bad_replies(commander, service);
  check_malformed_command(endpoint, service);
  std::puts("commander: replies matched; late and malformed ones counted");
  return 0;
}
