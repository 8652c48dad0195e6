#include "MapClientTester.hpp"

#include <cmath>
#include <cstring>

namespace Rubblemap {

namespace {

constexpr std::uint32_t side = 64;
constexpr double center_x = 34.0, center_y = 30.0, body_radius = 20.0;

// IEEE 754 binary16, little-endian, of a number that is 0 or normal there; towards zero.
void append_half(Bytes& bytes, float number) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  const int exponent = static_cast<int>(bits >> 23 & 0xFF) - 127 + 15;
  const std::uint32_t half = number == 0.0f ? 0 : static_cast<std::uint32_t>(exponent) << 10 | (bits >> 13 & 0x3FF);
  bytes.push_back(static_cast<std::uint8_t>(half));
  bytes.push_back(static_cast<std::uint8_t>(half >> 8));
}

// The planes of a round body with room to land everywhere on it.
std::vector<PlaneContent> body_planes(const std::string& topic) {
  Bytes classes, entropy, hazard, clearance;
  for (std::uint32_t row = 0; row < side; ++row) {
    for (std::uint32_t column = 0; column < side; ++column) {
      const double distance = std::hypot(column - center_x, row - center_y);
      const bool body = distance < body_radius;
      classes.push_back(body ? 1 : 0);
      append_half(entropy, std::abs(distance - body_radius) < 1.5 ? 0.5f : 0.01f);
      append_half(hazard, body ? 0.05f : 0.0f);
      append_half(clearance, static_cast<float>(std::max(18.0 - distance, 0.0)));
    }
  }
  const std::vector<std::uint32_t> shape{side, side};
  if (topic == "map.navigation") {
    return {{"class_map", "u8", shape, classes},
            {"enhanced_class_map", "u8", shape, classes},
            {"predictive_entropy", "f16", shape, entropy}};
  }
  return {{"hazard_probability", "f16", shape, hazard},
          {"predictive_entropy", "f16", shape, entropy},
          {"enhanced_class_map", "u8", shape, classes},
          {"clearance", "f16", shape, clearance}};
}

// The newest value in a channel's history; the type's default before there was one.
template <typename History>
auto last(History* history) {
  using Value = std::decay_t<decltype(history->at(0).arg)>;
  return history->size() == 0 ? Value() : Value(history->at(history->size() - 1).arg);
}

}  // namespace

std::string FakeCommands::next() {
  const Message message = receive();
  REQUIRE(message.size() == 3 && message[1].empty());
  sender_ = message[0];
  const auto handle = msgpack::unpack(reinterpret_cast<const char*>(message[2].data()), message[2].size());
  id_ = handle.get().as<std::map<std::string, msgpack::object>>().at("id").as<std::uint64_t>();
  std::ostringstream text;
  text << handle.get();
  return text.str();
}

void FakeCommands::answer(const char* status, const char* code, const std::function<void(Packing&)>& result) {
  msgpack::sbuffer buffer;
  Packing out(buffer);
  out.pack_map(7);
  out.pack("schema").pack(1).pack("type").pack("reply").pack("id").pack(id_).pack("status").pack(status);
  out.pack("code").pack(code).pack("message").pack("why").pack("result");
  result(out);
  send({sender_, {}, Bytes(buffer.data(), buffer.data() + buffer.size())});
}

std::function<void(Packing&)> status_result(const char* state) {
  return [state](Packing& out) {
    out.pack_map(4).pack("state").pack(state).pack("uptime_s").pack(12.5);
    out.pack("counters")
        .pack(std::map<std::string, std::uint64_t>{
            {"frames_received", 41}, {"frames_processed", 40}, {"worker_restarts", 2}});
    out.pack("latency_ms").pack_map(1).pack("total").pack(std::map<std::string, double>{{"p99", 250.0}});
  };
}

MapClientTester::MapClientTester(U32 status_period)
    : MapClientGTestBase("Tester", MAX_HISTORY_SIZE), component("maps") {
  this->initComponents();
  this->connectPorts();
  this->paramSet_STATUS_PERIOD(status_period, Fw::ParamValid::VALID);
  component.loadParameters();
}

void MapClientTester::open() {
  rubblemap::ReceiverOptions receiver;
  receiver.endpoint = products_endpoint_;
  receiver.topics = {rubblemap::Topic::navigation, rubblemap::Topic::hazard};
  rubblemap::CommanderOptions commander;
  commander.endpoint = commands_endpoint_;
  component.configure(receiver, commander);
  ASSERT_TRUE(component.open());
  publisher_.wait_for_subscriptions(2);
}

void MapClientTester::cycle() {
  this->invoke_to_schedIn(0, 0);
  this->component.doDispatch();
}

template <typename Condition>
void MapClientTester::cycle_until(Condition condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    cycle();
    sleep_ms(10);
  }
  ASSERT_TRUE(condition());
}

std::string MapClientTester::pass(const std::function<void()>& send) {
  for (int i = 0; i < 1000; ++i) {
    const U32 not_sent = this->eventHistory_CommandNotSent->size();
    send();
    this->component.doDispatch();
    if (this->eventHistory_CommandNotSent->size() == not_sent) break;
    this->clearHistory();
    sleep_ms(10);
  }
  return commands_.next();
}

void MapClientTester::publish(const std::string& topic, std::uint64_t sequence, const char* status) {
  ProductMaker maker;
  maker.topic = topic;
  maker.sequence = sequence;
  maker.status = status;
  const auto contents = std::string(status) == "invalid" ? std::vector<PlaneContent>{} : body_planes(topic);
  Message parts{Bytes(topic.begin(), topic.end()), ProductMaker::header(maker.fields(contents))};
  for (const PlaneContent& plane : contents) parts.push_back(plane.bytes);
  publisher_.send(parts);
}

void MapClientTester::opens_later() {
  rubblemap::ReceiverOptions receiver;
  receiver.endpoint = "nowhere";
  component.configure(receiver, {});
  ASSERT_FALSE(component.open());
  ASSERT_EVENTS_NotOpened_SIZE(1);
  cycle();
  ASSERT_TLM_SIZE(0);
  this->sendCmd_OPEN(TEST_INSTANCE_ID, 7);
  this->component.doDispatch();
  ASSERT_CMD_RESPONSE(0, MapClient::OPCODE_OPEN, 7, Fw::CmdResponse::EXECUTION_ERROR);
  this->sendCmd_NO_OP(TEST_INSTANCE_ID, 8);
  this->component.doDispatch();
  ASSERT_CMD_RESPONSE(1, MapClient::OPCODE_NO_OP, 8, Fw::CmdResponse::EXECUTION_ERROR);
  ASSERT_EVENTS_CommandNotSent(0, "no_op", "the sockets are not open");

  rubblemap::CommanderOptions commander;
  receiver.endpoint = products_endpoint_;
  commander.endpoint = commands_endpoint_;
  component.configure(receiver, commander);
  this->sendCmd_OPEN(TEST_INSTANCE_ID, 9);
  this->component.doDispatch();
  ASSERT_CMD_RESPONSE(2, MapClient::OPCODE_OPEN, 9, Fw::CmdResponse::OK);
  ASSERT_EVENTS_Opened(0, products_endpoint_.c_str(), commands_endpoint_.c_str());
  this->sendCmd_OPEN(TEST_INSTANCE_ID, 10);
  this->component.doDispatch();
  ASSERT_CMD_RESPONSE(3, MapClient::OPCODE_OPEN, 10, Fw::CmdResponse::OK);
  ASSERT_EVENTS_Opened_SIZE(1);
}

void MapClientTester::makes_fix_and_sites() {
  open();
  publish("map.navigation", 3);
  publish("map.hazard", 4);
  cycle_until([this] { return this->fromPortHistory_sitesOut->size() + this->fromPortHistory_fixOut->size() == 2; });
  const NavigationFix fix = this->fromPortHistory_fixOut->at(0).fix;
  ASSERT_EQ(fix.getframe().getframe_id(), 3u);
  ASSERT_NEAR(fix.getcentroid().getx(), center_x, 0.2);
  ASSERT_NEAR(fix.getcentroid().gety(), center_y, 0.2);
  ASSERT_GT(fix.getcentroid().getcovariance().getxx(), 0.0);
  ASSERT_NEAR(fix.getdiameter(), 2.0 * body_radius, 1.0);
  ASSERT_TLM_Fix(0, fix);
  ASSERT_TLM_FixRefusal(0, Refusal::NONE);
  const LandingSites sites = this->fromPortHistory_sitesOut->at(0).sites;
  ASSERT_EQ(sites.getframe().getframe_id(), 4u);
  ASSERT_GE(sites.getcount(), 1u);
  ASSERT_TRUE(sites.getcomplete());
  const LandingCircle largest = sites.getcircles()[0];
  ASSERT_NEAR(largest.getx(), center_x, 1.0);
  ASSERT_NEAR(largest.gety(), center_y, 1.0);
  ASSERT_GT(largest.getradius(), 10.0);
  ASSERT_TLM_Sites(0, sites);
  ASSERT_TLM_SitesRefusal(0, Refusal::NONE);
  ASSERT_EVENTS_FixRefused_SIZE(0);
  ASSERT_EVENTS_FixUsable_SIZE(0);

  // A radius for which there is no room.
  this->paramSet_MINIMUM_RADIUS_PX(40.0, Fw::ParamValid::VALID);
  component.loadParameters();
  publish("map.hazard", 5);
  cycle_until([this] { return this->fromPortHistory_sitesOut->size() == 2; });
  ASSERT_EQ(this->fromPortHistory_sitesOut->at(1).sites.getcount(), 0u);
}

void MapClientTester::tells_refusals_once() {
  open();
  const auto told = [this](U32 refusals) { return this->tlmHistory_FixRefusal->size() == refusals; };
  publish("map.navigation", 1, "invalid");
  cycle_until([&] { return told(1); });
  publish("map.navigation", 2, "invalid");
  cycle_until([&] { return told(2); });
  ASSERT_TLM_FixRefusal(1, Refusal::INVALID_PRODUCT);
  ASSERT_EVENTS_FixRefused_SIZE(1);
  ASSERT_EVENTS_FixRefused(0, 1u, Refusal::INVALID_PRODUCT);
  ASSERT_TLM_Fix_SIZE(0);
  ASSERT_from_fixOut_SIZE(0);
  publish("map.navigation", 3);
  cycle_until([&] { return told(3); });
  ASSERT_EVENTS_FixUsable(0, 3u);
  publish("map.hazard", 4, "invalid");
  cycle_until([this] { return this->tlmHistory_SitesRefusal->size() == 1; });
  ASSERT_EVENTS_SitesRefused(0, 4u, Refusal::INVALID_PRODUCT);
  publish("map.hazard", 5);
  cycle_until([this] { return this->tlmHistory_SitesRefusal->size() == 2; });
  ASSERT_EVENTS_SitesUsable(0, 5u);
}

void MapClientTester::counts_what_is_wrong() {
  open();
  publish("map.navigation", 10);
  cycle_until([this] { return this->tlmHistory_Fix->size() == 1; });
  publish("map.navigation", 14);  // 11 to 13 are missing
  cycle_until([this] { return this->tlmHistory_Fix->size() == 2; });
  ASSERT_EVENTS_ProductsLost(0, 3u);
  Message damaged = ProductMaker{"map.navigation", 15}.message();
  damaged.back()[0] ^= 1;
  publisher_.send(damaged);
  cycle_until([this] { return this->eventHistory_ProductsMalformed->size() == 1; });
  ASSERT_EQ(this->eventHistory_ProductsMalformed->at(0).count, 1u);
  ASSERT_NE(std::string(this->eventHistory_ProductsMalformed->at(0).reason.toChar()).find("crc32"), std::string::npos);
  publish("map.navigation", 0);
  cycle_until([this] { return this->tlmHistory_Fix->size() == 3; });
  ASSERT_EVENTS_ServiceRestarted_SIZE(1);
  ASSERT_EQ(last(this->tlmHistory_Received), 3u);
  ASSERT_GE(last(this->tlmHistory_Lost), 3u);
  ASSERT_EQ(last(this->tlmHistory_Malformed), 1u);
  ASSERT_EQ(last(this->tlmHistory_Restarts), 1u);
}

void MapClientTester::passes_commands_on() {
  open();
  const auto arguments = [](const std::string& command) { return command.substr(command.find("\"name\"")); };
  const auto check = [&](const std::function<void()>& send, const std::string& expected) {
    ASSERT_EQ(arguments(pass(send)), expected + "}");
    commands_.answer();
    const U32 before = this->cmdResponseHistory->size();
    cycle_until([&] { return this->cmdResponseHistory->size() == before + 1; });
    ASSERT_EQ(this->cmdResponseHistory->at(before).response, Fw::CmdResponse::OK);
  };
  const auto named = [](const char* name) { return "\"name\":\"" + std::string(name) + "\",\"arguments\":{}"; };
  const auto parameter = [](const char* value) {
    return "\"name\":\"set_parameter\",\"arguments\":{\"name\":\"passes\",\"value\":" + std::string(value) + "}";
  };
  const auto set = [this](const char* value) {
    return [this, value] {
      this->sendCmd_SET_PARAMETER(TEST_INSTANCE_ID, 1, Fw::CmdStringArg("passes"), Fw::CmdStringArg(value));
    };
  };
  check([this] { this->sendCmd_NO_OP(TEST_INSTANCE_ID, 1); }, named("no_op"));
  check([this] { this->sendCmd_GET_STATUS(TEST_INSTANCE_ID, 1); }, named("get_status"));
  check([this] { this->sendCmd_VALIDATE_BUNDLE(TEST_INSTANCE_ID, 1); }, named("validate_bundle"));
  check([this] { this->sendCmd_ACTIVATE_BUNDLE(TEST_INSTANCE_ID, 1); }, named("activate_bundle"));
  check([this] { this->sendCmd_SELF_TEST(TEST_INSTANCE_ID, 1); }, named("self_test"));
  check([this] { this->sendCmd_RESET_COUNTERS(TEST_INSTANCE_ID, 1); }, named("reset_counters"));
  check([this] { this->sendCmd_RECOVER(TEST_INSTANCE_ID, 1); }, named("recover"));
  check([this] { this->sendCmd_SHUTDOWN(TEST_INSTANCE_ID, 1); }, named("shutdown"));
  check([this] { this->sendCmd_SET_MODE(TEST_INSTANCE_ID, 1, Fw::CmdStringArg("UNetS")); },
        "\"name\":\"set_mode\",\"arguments\":{\"mode\":\"UNetS\"}");
  check([this] { this->sendCmd_LOAD_BUNDLE(TEST_INSTANCE_ID, 1, Fw::CmdStringArg("unet_h_2")); },
        "\"name\":\"load_bundle\",\"arguments\":{\"path\":\"unet_h_2\"}");
  check(set("10"), parameter("10"));
  check(set("-3"), parameter("-3"));
  check(set("2.5"), parameter("2.5"));
  check(set("1e-3"), parameter("0.001"));
  check(set("true"), parameter("true"));
  check(set("false"), parameter("false"));
  check(set("off"), parameter("\"off\""));
  check(set("10 passes"), parameter("\"10 passes\""));
  check(set("nan"), parameter("\"nan\""));
}

void MapClientTester::answers_as_the_service_does() {
  open();
  struct Case {
    const char* status;
    const char* code;
    Fw::CmdResponse response;
  };
  const Case cases[] = {{"completed", "ok", Fw::CmdResponse::OK},
                        {"rejected", "invalid_argument", Fw::CmdResponse::VALIDATION_ERROR},
                        {"rejected", "busy", Fw::CmdResponse::BUSY},
                        {"failed", "not_valid", Fw::CmdResponse::EXECUTION_ERROR}};
  U32 number = 0;
  for (const Case& expected : cases) {
    (void)pass([this, number] { this->sendCmd_SELF_TEST(TEST_INSTANCE_ID, number); });
    commands_.answer(expected.status, expected.code);
    cycle_until([&] { return this->cmdResponseHistory->size() == number + 1; });
    ASSERT_CMD_RESPONSE(number, MapClient::OPCODE_SELF_TEST, number, expected.response);
    ++number;
  }
  ASSERT_EVENTS_CommandAnswered(0, "self_test", "ok");
  ASSERT_EVENTS_CommandFailed(0, "self_test", "invalid_argument", "why");
  ASSERT_EVENTS_CommandFailed_SIZE(3);

  // No reply comes in the 5 s that NO_OP has.
  (void)pass([this] { this->sendCmd_NO_OP(TEST_INSTANCE_ID, 99); });
  cycle_until([&] { return this->cmdResponseHistory->size() == number + 1; });
  ASSERT_CMD_RESPONSE(number, MapClient::OPCODE_NO_OP, 99, Fw::CmdResponse::EXECUTION_ERROR);
  ASSERT_EVENTS_CommandTimedOut(0, "no_op");
}

void MapClientTester::limits_commands_under_way() {
  open();
  (void)pass([this] { this->sendCmd_SELF_TEST(TEST_INSTANCE_ID, 0); });
  const auto send = [this](U32 sequence) {
    this->sendCmd_SELF_TEST(TEST_INSTANCE_ID, sequence);
    this->component.doDispatch();
  };
  for (U32 i = 1; i < rubblemap::most_commands_under_way; ++i) send(i);
  ASSERT_CMD_RESPONSE_SIZE(0);
  send(100);
  ASSERT_CMD_RESPONSE(0, MapClient::OPCODE_SELF_TEST, 100, Fw::CmdResponse::BUSY);
  ASSERT_EVENTS_CommandNotSent(0, "self_test", "too many commands are under way");
  commands_.answer();
  cycle_until([this] { return this->cmdResponseHistory->size() == 2; });
  ASSERT_CMD_RESPONSE(1, MapClient::OPCODE_SELF_TEST, 0, Fw::CmdResponse::OK);
  send(101);
  ASSERT_CMD_RESPONSE_SIZE(2);
}

void MapClientTester::tells_parameters() {
  open();
  const auto ask = [this](const char* name) {
    return pass([this, name] { this->sendCmd_TELL_PARAMETER(TEST_INSTANCE_ID, 1, Fw::CmdStringArg(name)); });
  };
  const auto parameters = [](Packing& out) {
    out.pack_map(5).pack("mode").pack("UNetH").pack("passes").pack(20).pack("gamma").pack(2.5);
    out.pack("publish_full").pack(false).pack("deadline_ms").pack_nil();
  };
  const std::pair<const char*, const char*> values[] = {
      {"mode", "UNetH"}, {"passes", "20"}, {"gamma", "2.5"}, {"publish_full", "false"}, {"deadline_ms", "none"}};
  U32 number = 0;
  for (const auto& [name, value] : values) {
    ASSERT_NE(ask(name).find("\"get_parameters\""), std::string::npos);
    commands_.answer("completed", "ok", parameters);
    cycle_until([&] { return this->cmdResponseHistory->size() == number + 1; });
    ASSERT_CMD_RESPONSE(number, MapClient::OPCODE_TELL_PARAMETER, 1, Fw::CmdResponse::OK);
    ASSERT_EVENTS_ParameterTold(number, name, value);
    ++number;
  }
  (void)ask("none_such");
  commands_.answer("completed", "ok", parameters);
  cycle_until([&] { return this->cmdResponseHistory->size() == number + 1; });
  ASSERT_CMD_RESPONSE(number, MapClient::OPCODE_TELL_PARAMETER, 1, Fw::CmdResponse::VALIDATION_ERROR);
  ASSERT_EVENTS_CommandFailed(0, "get_parameters", "unknown_parameter", "none_such");
}

void MapClientTester::follows_the_services_state() {
  open();
  this->paramSet_STATUS_PERIOD(2, Fw::ParamValid::VALID);
  component.loadParameters();
  U64 requests = 0;
  const std::pair<const char*, ServiceState> states[] = {{"starting", ServiceState::STARTING},
                                                         {"ready", ServiceState::READY},
                                                         {"degraded", ServiceState::DEGRADED},
                                                         {"safe", ServiceState::SAFE}};
  for (const auto& [name, state] : states) {
    // One at a time is under way, and each is answered.
    ++requests;
    cycle_until([&] { return last(this->tlmHistory_CommandsSent) == requests; });
    (void)commands_.next();
    commands_.answer("completed", "ok", status_result(name));
    cycle_until([&] { return last(this->tlmHistory_ServiceState) == state; });
  }
  ASSERT_EVENTS_ServiceAnswers_SIZE(1);
  ASSERT_EVENTS_ServiceAnswers(0, ServiceState::STARTING);
  ASSERT_EVENTS_ServiceStateChanged_SIZE(3);
  ASSERT_EVENTS_ServiceStateChanged(2, ServiceState::DEGRADED, ServiceState::SAFE);
  ASSERT_TLM_FramesReceived(0, 41u);
  ASSERT_TLM_FramesProcessed(0, 40u);
  ASSERT_TLM_WorkerRestarts(0, 2u);
  ASSERT_TLM_UptimeS(0, 12.5);
  ASSERT_TLM_LatencyP99Ms(0, 250.0);
  ASSERT_CMD_RESPONSE_SIZE(0);  // nobody on the ground asked

  // The next one is not answered.
  this->clearHistory();
  cycle_until([this] { return this->eventsSize_ServiceSilent == 1; });
  ASSERT_TLM_ServiceState(0, ServiceState::UNKNOWN);
}

void MapClientTester::says_when_nobody_is_there() {
  rubblemap::CommanderOptions commander;
  commander.endpoint = fresh_endpoint();
  rubblemap::ReceiverOptions receiver;
  receiver.endpoint = products_endpoint_;
  component.configure(receiver, commander);
  ASSERT_TRUE(component.open());
  this->sendCmd_NO_OP(TEST_INSTANCE_ID, 1);
  this->component.doDispatch();
  ASSERT_CMD_RESPONSE(0, MapClient::OPCODE_NO_OP, 1, Fw::CmdResponse::EXECUTION_ERROR);
  ASSERT_EVENTS_CommandNotSent(0, "no_op", "no service is there");
  ASSERT_EVENTS_ServiceSilent_SIZE(1);
  this->paramSet_STATUS_PERIOD(1, Fw::ParamValid::VALID);
  component.loadParameters();
  for (int i = 0; i < 5; ++i) cycle();
  ASSERT_EVENTS_ServiceSilent_SIZE(1);  // told once
  ASSERT_CMD_RESPONSE_SIZE(1);
}

void MapClientTester::drops_cycles_but_no_pings() {
  open();
  for (int i = 0; i < TEST_INSTANCE_QUEUE_DEPTH - 1; ++i) this->invoke_to_schedIn(0, 0);
  this->invoke_to_pingIn(0, 0x1234);
  this->invoke_to_schedIn(0, 0);  // the queue is full
  for (int i = 0; i < TEST_INSTANCE_QUEUE_DEPTH; ++i) this->component.doDispatch();
  ASSERT_from_pingOut_SIZE(1);
  ASSERT_from_pingOut(0, 0x1234u);
}

}  // namespace Rubblemap
