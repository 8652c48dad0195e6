// Commands of the ground that the component passes on to the service, and what comes back.
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "Rubblemap/MapClient/MapClient.hpp"

namespace Rubblemap {

namespace {

// Room for one line of an event.
Fw::LogStringArg line(std::string_view text) {
  rubblemap::Text<120> kept;
  kept.append(text);
  return Fw::LogStringArg(kept.c_str());
}

std::string_view view_of(const Fw::CmdStringArg& text) { return text.toChar(); }

template <typename Number>
bool read_whole(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

// As `flight command` reads a value that is no list or map: true, false, a number, or else the text as it is.
rubblemap::Value value_of(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  std::int64_t whole = 0;
  if (read_whole(text, whole)) return whole;
  double real = 0.0;
  const bool starts_a_number = !text.empty() && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
  if (starts_a_number && read_whole(text, real)) return real;
  return text;
}

// msgpack writes a number without decimals as an integer, if it wants.
bool is_number(const rubblemap::Value& value) {
  return value.type == rubblemap::Value::Type::real || value.type == rubblemap::Value::Type::whole;
}

F64 number_of(const rubblemap::Value& value) {
  return value.type == rubblemap::Value::Type::whole ? static_cast<F64>(value.whole) : value.real;
}

// A value of the service's parameters as text.
rubblemap::Text<40> text_of(const rubblemap::Value& value) {
  char number[32] = "";
  rubblemap::Text<40> text;
  switch (value.type) {
    case rubblemap::Value::Type::boolean: text.append(value.boolean ? "true" : "false"); return text;
    case rubblemap::Value::Type::whole:
      (void)std::snprintf(number, sizeof number, "%llu", static_cast<unsigned long long>(value.whole));
      break;
    case rubblemap::Value::Type::negative:
      (void)std::snprintf(number, sizeof number, "%lld", static_cast<long long>(value.negative));
      break;
    case rubblemap::Value::Type::real: (void)std::snprintf(number, sizeof number, "%.15g", value.real); break;
    case rubblemap::Value::Type::text: text.append(value.text); return text;
    case rubblemap::Value::Type::nil: text.append("none"); return text;
    default: text.append("a list or map"); return text;
  }
  text.append(number);
  return text;
}

ServiceState state_of(std::string_view name) {
  if (name == "starting") return ServiceState::STARTING;
  if (name == "ready") return ServiceState::READY;
  if (name == "degraded") return ServiceState::DEGRADED;
  if (name == "safe") return ServiceState::SAFE;
  return ServiceState::UNKNOWN;
}

Fw::CmdResponse response_to(const rubblemap::Reply& reply) {
  if (reply.status == rubblemap::ReplyStatus::completed) return Fw::CmdResponse::OK;
  if (reply.status == rubblemap::ReplyStatus::failed) return Fw::CmdResponse::EXECUTION_ERROR;
  return reply.code == rubblemap::reply_codes::busy ? Fw::CmdResponse::BUSY : Fw::CmdResponse::VALIDATION_ERROR;
}

}  // namespace

void MapClient::NO_OP_cmdHandler(FwOpcodeType opcode, U32 sequence) { pass_on("no_op", opcode, sequence); }

void MapClient::GET_STATUS_cmdHandler(FwOpcodeType opcode, U32 sequence) { pass_on("get_status", opcode, sequence); }

void MapClient::SET_PARAMETER_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& name,
                                         const Fw::CmdStringArg& value) {
  const rubblemap::Argument arguments[] = {{"name", view_of(name)}, {"value", value_of(view_of(value))}};
  pass_on({Pending::Kind::passed, 0, "set_parameter", {}, opcode, sequence}, arguments, 2);
}

void MapClient::SET_MODE_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& mode) {
  const rubblemap::Argument argument{"mode", view_of(mode)};
  pass_on({Pending::Kind::passed, 0, "set_mode", {}, opcode, sequence}, &argument, 1);
}

void MapClient::LOAD_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& path) {
  const rubblemap::Argument argument{"path", view_of(path)};
  pass_on({Pending::Kind::passed, 0, "load_bundle", {}, opcode, sequence}, &argument, 1, slow_ms);
}

void MapClient::VALIDATE_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  pass_on("validate_bundle", opcode, sequence, slow_ms);
}

void MapClient::ACTIVATE_BUNDLE_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  pass_on("activate_bundle", opcode, sequence, slow_ms);
}

void MapClient::SELF_TEST_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  pass_on("self_test", opcode, sequence, slow_ms);
}

void MapClient::RESET_COUNTERS_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  pass_on("reset_counters", opcode, sequence);
}

void MapClient::RECOVER_cmdHandler(FwOpcodeType opcode, U32 sequence) { pass_on("recover", opcode, sequence); }

void MapClient::SHUTDOWN_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  pass_on("shutdown", opcode, sequence);
  // The service ends after its reply, and what libzmq has not handed over by then is lost with the connection.
  const auto under_way = [this] {
    return std::any_of(m_pending.begin(), m_pending.end(), [](const Pending& entry) {
      return entry.kind == Pending::Kind::passed && entry.name == "shutdown";
    });
  };
  for (int i = 0; i < shutdown_waits && under_way(); ++i) take_replies(shutdown_wait_ms);
}

void MapClient::TELL_PARAMETER_cmdHandler(FwOpcodeType opcode, U32 sequence, const Fw::CmdStringArg& name) {
  Pending pending{Pending::Kind::told_parameter, 0, "get_parameters", {}, opcode, sequence};
  pending.parameter.append(view_of(name));
  pass_on(pending);
}

void MapClient::pass_on(std::string_view name, FwOpcodeType opcode, U32 sequence, int timeout_ms) {
  pass_on({Pending::Kind::passed, 0, name, {}, opcode, sequence}, nullptr, 0, timeout_ms);
}

void MapClient::pass_on(Pending pending, const rubblemap::Argument* arguments, std::size_t count, int timeout_ms) {
  if (!m_sockets) return tell_not_sent(pending, "the sockets are not open", Fw::CmdResponse::EXECUTION_ERROR);
  const auto place = std::find_if(m_pending.begin(), m_pending.end(),
                                  [](const Pending& entry) { return entry.kind == Pending::Kind::none; });
  if (place == m_pending.end()) {
    return tell_not_sent(pending, "too many commands are under way", Fw::CmdResponse::BUSY);
  }
  switch (m_sockets->commander.send(pending.name, arguments, count, timeout_ms, pending.id)) {
    case rubblemap::Sent::yes:
      *place = pending;
      if (pending.kind == Pending::Kind::own_status) m_status_under_way = true;
      return;
    case rubblemap::Sent::not_taken:
      service_silent();
      return tell_not_sent(pending, "no service is there", Fw::CmdResponse::EXECUTION_ERROR);
    case rubblemap::Sent::refused:
      return tell_not_sent(pending, m_sockets->commander.last_error(), Fw::CmdResponse::VALIDATION_ERROR);
  }
}

void MapClient::tell_not_sent(const Pending& pending, const char* reason, Fw::CmdResponse::T response) {
  if (pending.kind == Pending::Kind::own_status) return;
  this->log_WARNING_LO_CommandNotSent(line(pending.name), line(reason));
  this->cmdResponse_out(pending.opcode, pending.sequence, response);
}

void MapClient::take_replies(int wait_ms) {
  rubblemap::Reply reply;
  while (true) {
    const rubblemap::Answer answer = m_sockets->commander.poll(reply, wait_ms);
    if (answer == rubblemap::Answer::none) return;
    wait_ms = 0;
    for (Pending& entry : m_pending) {
      if (entry.kind == Pending::Kind::none || entry.id != reply.id) continue;
      const Pending pending = entry;
      entry.kind = Pending::Kind::none;
      if (answer == rubblemap::Answer::reply) {
        finish(pending, reply);
      } else {
        time_out(pending);
      }
      break;
    }
  }
}

void MapClient::finish(const Pending& pending, const rubblemap::Reply& reply) {
  const bool completed = reply.status == rubblemap::ReplyStatus::completed;
  if (completed && pending.name == "get_status") read_status();
  if (pending.kind == Pending::Kind::own_status) {
    m_status_under_way = false;
    return;
  }
  if (!completed) {
    this->log_WARNING_LO_CommandFailed(line(pending.name), line(reply.code), line(reply.message));
  } else if (pending.kind == Pending::Kind::told_parameter) {
    tell_parameter(pending);
    return;
  } else {
    this->log_ACTIVITY_LO_CommandAnswered(line(pending.name), line(reply.code));
  }
  this->cmdResponse_out(pending.opcode, pending.sequence, response_to(reply));
}

void MapClient::time_out(const Pending& pending) {
  if (pending.kind == Pending::Kind::own_status) {
    m_status_under_way = false;
    service_silent();
    return;
  }
  this->log_WARNING_LO_CommandTimedOut(line(pending.name));
  this->cmdResponse_out(pending.opcode, pending.sequence, Fw::CmdResponse::EXECUTION_ERROR);
}

void MapClient::request_status() {
  Fw::ParamValid valid;
  const U32 period = this->paramGet_STATUS_PERIOD(valid);
  if (period == 0) return;
  if (m_cycles_until_status > 0) --m_cycles_until_status;
  if (m_cycles_until_status > 0 || m_status_under_way) return;
  m_cycles_until_status = period;
  pass_on({Pending::Kind::own_status, 0, "get_status", {}, 0, 0});
}

void MapClient::read_status() {
  using Type = rubblemap::Value::Type;
  // Of type nil where the result has none.
  const auto read = [this](std::string_view path) {
    rubblemap::Value value;
    return m_sockets->commander.result(path, value) ? value : rubblemap::Value();
  };
  const ServiceState state = state_of(read("state").text);
  if (m_state == ServiceState::UNKNOWN && state != ServiceState::UNKNOWN) {
    this->log_ACTIVITY_HI_ServiceAnswers(state);
  } else if (state != m_state) {
    this->log_ACTIVITY_HI_ServiceStateChanged(m_state, state);
  }
  m_state = state;
  m_silence_told = false;
  this->tlmWrite_ServiceState(state);
  const rubblemap::Value received = read("counters.frames_received"), processed = read("counters.frames_processed");
  const rubblemap::Value restarts = read("counters.worker_restarts");
  if (received.type == Type::whole) this->tlmWrite_FramesReceived(received.whole);
  if (processed.type == Type::whole) this->tlmWrite_FramesProcessed(processed.whole);
  if (restarts.type == Type::whole) this->tlmWrite_WorkerRestarts(restarts.whole);
  const rubblemap::Value uptime = read("uptime_s"), latency = read("latency_ms.total.p99");
  if (is_number(uptime)) this->tlmWrite_UptimeS(number_of(uptime));
  if (is_number(latency)) this->tlmWrite_LatencyP99Ms(number_of(latency));
}

void MapClient::tell_parameter(const Pending& pending) {
  rubblemap::Value value;
  Fw::CmdResponse response = Fw::CmdResponse::OK;
  if (m_sockets->commander.result(pending.parameter, value)) {
    this->log_ACTIVITY_HI_ParameterTold(line(pending.parameter), line(text_of(value)));
  } else {
    this->log_WARNING_LO_CommandFailed(line(pending.name), line(rubblemap::reply_codes::unknown_parameter),
                                       line(pending.parameter));
    response = Fw::CmdResponse::VALIDATION_ERROR;
  }
  this->cmdResponse_out(pending.opcode, pending.sequence, response);
}

void MapClient::service_silent() {
  if (!m_silence_told) this->log_WARNING_HI_ServiceSilent();
  m_silence_told = true;
  m_state = ServiceState::UNKNOWN;
  this->tlmWrite_ServiceState(m_state);
}

}  // namespace Rubblemap
