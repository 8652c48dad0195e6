/* What comes back from the service, and its state. */
#include <stdio.h>
#include <string.h>

#include "rubblemap_app.h"

enum { TELL_SIZE = 64 };

static const char *const state_names[] = {"unknown", "starting", "ready", "degraded", "safe"};

static bool is_number(const rubblemap_value *value) {
  return value->type == RUBBLEMAP_REAL || value->type == RUBBLEMAP_WHOLE;
}

/* msgpack writes a number without decimals as an integer, if it wants. */
static double number_of(const rubblemap_value *value) {
  return value->type == RUBBLEMAP_WHOLE ? (double)value->whole : value->real;
}

static void write_value(char *text, size_t size, const rubblemap_value *value) {
  switch (value->type) {
    case RUBBLEMAP_NIL: (void)snprintf(text, size, "none"); break;
    case RUBBLEMAP_BOOLEAN: (void)snprintf(text, size, "%s", value->boolean ? "true" : "false"); break;
    case RUBBLEMAP_WHOLE: (void)snprintf(text, size, "%llu", (unsigned long long)value->whole); break;
    case RUBBLEMAP_NEGATIVE: (void)snprintf(text, size, "%lld", (long long)value->negative); break;
    case RUBBLEMAP_REAL: (void)snprintf(text, size, "%.15g", value->real); break;
    case RUBBLEMAP_TEXT: (void)snprintf(text, size, "%.*s", (int)value->text_size, value->text); break;
    default: (void)snprintf(text, size, "a list or map"); break;
  }
}

void RUBBLEMAP_TellSilence(void) {
  RUBBLEMAP_Data.hk.payload.service_state = RUBBLEMAP_ServiceState_UNKNOWN;
  if (RUBBLEMAP_Data.silence_told) return;
  RUBBLEMAP_Data.silence_told = true;
  CFE_EVS_SendEvent(RUBBLEMAP_SERVICE_SILENT_EID, CFE_EVS_EventType_ERROR, "The service does not answer");
}

static uint8 state_of(const rubblemap_value *value) {
  for (uint8 i = RUBBLEMAP_ServiceState_STARTING; value->type == RUBBLEMAP_TEXT && i <= RUBBLEMAP_ServiceState_SAFE;
       ++i) {
    if (strlen(state_names[i]) == value->text_size && memcmp(state_names[i], value->text, value->text_size) == 0) {
      return i;
    }
  }
  return RUBBLEMAP_ServiceState_UNKNOWN;
}

static void read_whole(const char *path, uint64 *into) {
  rubblemap_value value;
  if (rubblemap_result(RUBBLEMAP_Data.gnc, path, &value) == RUBBLEMAP_OK && value.type == RUBBLEMAP_WHOLE) {
    *into = value.whole;
  }
}

static void read_number(const char *path, double *into) {
  rubblemap_value value;
  if (rubblemap_result(RUBBLEMAP_Data.gnc, path, &value) == RUBBLEMAP_OK && is_number(&value)) {
    *into = number_of(&value);
  }
}

static void read_status(void) {
  RUBBLEMAP_HkTlm_Payload_t *hk = &RUBBLEMAP_Data.hk.payload;
  const uint8 before = hk->service_state;
  rubblemap_value state = {RUBBLEMAP_NIL, 0, 0, 0, 0.0, NULL, 0};
  (void)rubblemap_result(RUBBLEMAP_Data.gnc, "state", &state);
  hk->service_state = state_of(&state);
  RUBBLEMAP_Data.silence_told = false;
  if (hk->service_state != before && before == RUBBLEMAP_ServiceState_UNKNOWN) {
    CFE_EVS_SendEvent(RUBBLEMAP_SERVICE_ANSWERS_EID, CFE_EVS_EventType_INFORMATION, "The service answers, %s",
                      state_names[hk->service_state]);
  } else if (hk->service_state != before) {
    CFE_EVS_SendEvent(RUBBLEMAP_SERVICE_STATE_CHANGED_EID, CFE_EVS_EventType_INFORMATION,
                      "The service went from %s to %s", state_names[before], state_names[hk->service_state]);
  }
  read_whole("counters.frames_received", &hk->frames_received);
  read_whole("counters.frames_processed", &hk->frames_processed);
  read_whole("counters.worker_restarts", &hk->worker_restarts);
  read_number("uptime_s", &hk->uptime_s);
  read_number("latency_ms.total.p99", &hk->latency_p99_ms);
}

/* Tells the parameter that was asked for; false when there is none of its name. */
static bool tell_parameter(const RUBBLEMAP_UnderWay_t *asked) {
  rubblemap_value value;
  char text[TELL_SIZE];
  if (rubblemap_result(RUBBLEMAP_Data.gnc, asked->parameter, &value) != RUBBLEMAP_OK) return false;
  write_value(text, sizeof text, &value);
  CFE_EVS_SendEvent(RUBBLEMAP_PARAMETER_TOLD_EID, CFE_EVS_EventType_INFORMATION, "%s is %s", asked->parameter, text);
  return true;
}

static void finish(const RUBBLEMAP_UnderWay_t *command, const rubblemap_reply *reply) {
  const bool completed = reply->status == RUBBLEMAP_COMPLETED;
  const char *code = reply->code;
  const char *message = reply->message;
  bool done = completed;
  if (completed && strcmp(command->name, "get_status") == 0) read_status();
  if (command->purpose == RUBBLEMAP_OWN_STATUS) {
    RUBBLEMAP_Data.status_under_way = false;
    return;
  }
  if (completed && command->purpose == RUBBLEMAP_PARAMETER) {
    done = tell_parameter(command);
    code = "unknown_parameter";
    message = command->parameter;
  } else if (completed) {
    CFE_EVS_SendEvent(RUBBLEMAP_COMMAND_ANSWERED_EID, CFE_EVS_EventType_INFORMATION, "%s: %s", command->name, code);
  }
  if (done) {
    ++RUBBLEMAP_Data.hk.payload.replies_completed;
    return;
  }
  CFE_EVS_SendEvent(RUBBLEMAP_COMMAND_FAILED_EID, CFE_EVS_EventType_ERROR, "%s: %s: %s", command->name, code, message);
  ++RUBBLEMAP_Data.hk.payload.replies_failed;
}

static void time_out(const RUBBLEMAP_UnderWay_t *command) {
  if (command->purpose == RUBBLEMAP_OWN_STATUS) {
    RUBBLEMAP_Data.status_under_way = false;
    RUBBLEMAP_TellSilence();
    return;
  }
  CFE_EVS_SendEvent(RUBBLEMAP_COMMAND_TIMED_OUT_EID, CFE_EVS_EventType_ERROR, "%s: no reply came in time",
                    command->name);
  ++RUBBLEMAP_Data.hk.payload.replies_timed_out;
}

void RUBBLEMAP_TakeReplies(int wait_ms) {
  rubblemap_reply reply;
  /* Not more rounds than there can be answers. */
  for (size_t round = 0; round < RUBBLEMAP_MOST_UNDER_WAY; ++round) {
    const rubblemap_code code = rubblemap_poll_reply(RUBBLEMAP_Data.gnc, round == 0 ? wait_ms : 0, &reply);
    if (code != RUBBLEMAP_OK && code != RUBBLEMAP_TIMED_OUT) return;
    for (size_t i = 0; i < RUBBLEMAP_MOST_UNDER_WAY; ++i) {
      const RUBBLEMAP_UnderWay_t command = RUBBLEMAP_Data.under_way[i];
      if (command.purpose == RUBBLEMAP_FREE || command.id != reply.id) continue;
      RUBBLEMAP_Data.under_way[i].purpose = RUBBLEMAP_FREE;
      if (code == RUBBLEMAP_OK) {
        finish(&command, &reply);
      } else {
        time_out(&command);
      }
      break;
    }
  }
}

void RUBBLEMAP_AskForStatus(void) {
  const RUBBLEMAP_UnderWay_t asked = {RUBBLEMAP_OWN_STATUS, 0, "get_status", ""};
  const char *reason = "";
  const RUBBLEMAP_Config_t *config = &RUBBLEMAP_Data.config;
  if (config->status_period == 0 || config->commands_endpoint[0] == '\0') return;
  if (RUBBLEMAP_Data.wakeups_until_status > 0) --RUBBLEMAP_Data.wakeups_until_status;
  if (RUBBLEMAP_Data.wakeups_until_status > 0 || RUBBLEMAP_Data.status_under_way) return;
  RUBBLEMAP_Data.wakeups_until_status = config->status_period;
  RUBBLEMAP_Data.status_under_way =
      RUBBLEMAP_Send(&asked, NULL, 0, config->command_timeout_ms, &reason) == RUBBLEMAP_OK;
}

void RUBBLEMAP_ForgetCommands(void) {
  memset(RUBBLEMAP_Data.under_way, 0, sizeof RUBBLEMAP_Data.under_way);
  RUBBLEMAP_Data.status_under_way = false;
  RUBBLEMAP_Data.silence_told = false;
  /* The connection takes a moment: not with the first wake-up. */
  RUBBLEMAP_Data.wakeups_until_status = RUBBLEMAP_Data.config.status_period;
  RUBBLEMAP_Data.hk.payload.service_state = RUBBLEMAP_ServiceState_UNKNOWN;
}
