// A client of the service as an F Prime component: docs/gnc.md, "In an F Prime component".
#pragma once

#include <Rubblemap/MapClient/MapClientComponentAc.hpp>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "rubblemap/commander.hpp"
#include "rubblemap/consumer_maps.hpp"
#include "rubblemap/receiver.hpp"

namespace Rubblemap {

// Allocates in configure() and open(), never again. Everything after the set-up happens in the component's own thread.
class MapClient final : public MapClientComponentBase {
public:
  explicit MapClient(const char* name) : MapClientComponentBase(name) {}

  // Before open(). receiver: topics among navigation and hazard.
  void configure(const rubblemap::ReceiverOptions& receiver, const rubblemap::CommanderOptions& commander);

  // Opens both sockets, or neither, with the event NotOpened. For the topology's set-up, before the component's thread
  // starts; later the command OPEN does it. True if they are open.
  bool open();

private:
  // Both sockets, with the scratch memory of the consumers.
  struct Sockets {
    Sockets(const rubblemap::ReceiverOptions& receiver_options, const rubblemap::CommanderOptions& commander_options)
        : context(std::make_shared<rubblemap::Context>()),
          receiver(receiver_options, context),
          commander(commander_options, context),
          workspace(std::size_t{receiver_options.max_height} * receiver_options.max_width) {}

    std::shared_ptr<rubblemap::Context> context;
    rubblemap::Receiver receiver;
    rubblemap::Commander commander;
    rubblemap::consumers::Workspace workspace;
  };

  // A command whose reply has not come. There is a place for each that the library lets be under way.
  struct Pending {
    enum class Kind : std::uint8_t { none, passed, own_status, told_parameter };

    Kind kind = Kind::none;
    std::uint64_t id = 0;
    std::string_view name;
    rubblemap::Text<40> parameter;
    FwOpcodeType opcode = 0;
    U32 sequence = 0;
  };

  void schedIn_handler(FwIndexType port, U32 context) override;
  void pingIn_handler(FwIndexType port, U32 key) override;

  void OPEN_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void TELL_PARAMETER_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& name) override;
  void NO_OP_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void GET_STATUS_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void SET_PARAMETER_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& name,
                                const Fw::CmdStringArg& value) override;
  void SET_MODE_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& mode) override;
  void LOAD_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& path) override;
  void VALIDATE_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void ACTIVATE_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void SELF_TEST_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void RESET_COUNTERS_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void RECOVER_cmdHandler(FwOpcodeType opcode, U32 sequence) override;
  void SHUTDOWN_cmdHandler(FwOpcodeType opcode, U32 sequence) override;

  void make_fix(const rubblemap::Product& product);
  void find_sites(const rubblemap::Product& product);
  void write_counts();

  // CommandPassing.cpp. pending: what is to be remembered of the command; its id is filled in.
  void pass_on(Pending pending, const rubblemap::Argument* arguments = nullptr, std::size_t count = 0,
               int timeout_ms = quick_ms);
  void pass_on(std::string_view name, FwOpcodeType opcode, U32 sequence, int timeout_ms = quick_ms);
  void tell_not_sent(const Pending& pending, const char* reason, Fw::CmdResponse::T response);
  // Waits for the first one at most wait_ms.
  void take_replies(int wait_ms = 0);
  void finish(const Pending& pending, const rubblemap::Reply& reply);
  void time_out(const Pending& pending);
  void request_status();
  void read_status();
  void tell_parameter(const Pending& pending);
  void service_silent();

  // As long as flight.client.Commander and `flight command` wait.
  static constexpr int quick_ms = 5000;
  static constexpr int slow_ms = 120000;
  static constexpr int shutdown_wait_ms = 250;
  static constexpr int shutdown_waits = 4;

  rubblemap::ReceiverOptions m_receiver_options;
  rubblemap::CommanderOptions m_commander_options;
  std::optional<Sockets> m_sockets;
  std::array<Pending, rubblemap::most_commands_under_way> m_pending{};

  // What the last cycle saw, so that events tell changes only. A first product tells nothing if it is usable.
  Refusal m_fix_refusal = Refusal::NONE;
  Refusal m_sites_refusal = Refusal::NONE;
  ServiceState m_state = ServiceState::UNKNOWN;
  bool m_silence_told = false;
  bool m_status_under_way = false;
  std::uint64_t m_lost = 0;
  std::uint64_t m_malformed = 0;
  std::uint64_t m_restarts = 0;
  U32 m_cycles_until_status = 0;
};

}  // namespace Rubblemap
