// The component under test, with a pretended service at its sockets.
#pragma once

#define MSGPACK_NO_BOOST
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "../fake_service.hpp"
#include "../make_product.hpp"
#include "MapClientGTestBase.hpp"
#include "Rubblemap/MapClient/MapClient.hpp"

namespace Rubblemap {

// What a pretended service got, and its answers.
class FakeCommands : public FakeSocket {
public:
  explicit FakeCommands(const std::string& endpoint) : FakeSocket(ZMQ_ROUTER, endpoint) {}

  // The next command as text: {"schema":1,...}. Keeps whom to answer.
  std::string next();
  // Answers it; result: as JSON would have it, packed by the caller.
  void answer(
      const char* status = "completed", const char* code = "ok",
      const std::function<void(Packing&)>& result = [](Packing& out) { out.pack_map(0); });

private:
  Bytes sender_;
  std::uint64_t id_ = 0;
};

// The result of get_status, as far as the component reads it.
std::function<void(Packing&)> status_result(const char* state);

class MapClientTester : public MapClientGTestBase {
public:
  static constexpr NATIVE_INT_TYPE MAX_HISTORY_SIZE = 100;
  static constexpr NATIVE_INT_TYPE TEST_INSTANCE_ID = 0;
  static constexpr NATIVE_INT_TYPE TEST_INSTANCE_QUEUE_DEPTH = 10;

  // status_period: 0 for a component that asks for no status by itself.
  explicit MapClientTester(U32 status_period = 0);

  // Tests, by what they show.
  void opens_later();
  void makes_fix_and_sites();
  void tells_refusals_once();
  void counts_what_is_wrong();
  void passes_commands_on();
  void answers_as_the_service_does();
  void limits_commands_under_way();
  void tells_parameters();
  void follows_the_services_state();
  void says_when_nobody_is_there();
  void drops_cycles_but_no_pings();

private:
  void connectPorts();
  void initComponents();

  // Opens the component at sockets of a pretended service.
  void open();
  // One cycle with all that waits for the component.
  void cycle();
  // Cycles until the condition holds; at most 20 s.
  template <typename Condition>
  void cycle_until(Condition condition);
  // Sends a command by `send` until the service is there, and returns what it got.
  std::string pass(const std::function<void()>& send);
  void publish(const std::string& topic, std::uint64_t sequence, const char* status = "valid");

  MapClient component;
  std::string products_endpoint_ = fresh_endpoint();
  std::string commands_endpoint_ = fresh_endpoint();
  FakePublisher publisher_{products_endpoint_};
  FakeCommands commands_{commands_endpoint_};
};

}  // namespace Rubblemap
