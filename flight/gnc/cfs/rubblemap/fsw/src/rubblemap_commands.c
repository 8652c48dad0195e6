/* The ground's commands, and those of them that are passed on to the service. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rubblemap_app.h"
#include "rubblemap_fcncodes.h"

enum { SHUTDOWN_WAIT_MS = 250, SHUTDOWN_WAITS = 4 };

/* How a command of the ground becomes one of the service. */
typedef enum { PLAIN, SET_PARAMETER, SET_MODE, LOAD_BUNDLE } Arguments;

typedef struct {
  CFE_MSG_FcnCode_t function_code;
  const char *name; /* of the service's command */
  Arguments arguments;
  bool takes_time;
} PassedCommand;

static const PassedCommand passed_commands[] = {
    {RUBBLEMAP_SERVICE_NO_OP_CC, "no_op", PLAIN, false},
    {RUBBLEMAP_SERVICE_GET_STATUS_CC, "get_status", PLAIN, false},
    {RUBBLEMAP_SERVICE_SET_PARAMETER_CC, "set_parameter", SET_PARAMETER, false},
    {RUBBLEMAP_SERVICE_SET_MODE_CC, "set_mode", SET_MODE, false},
    {RUBBLEMAP_SERVICE_LOAD_BUNDLE_CC, "load_bundle", LOAD_BUNDLE, true},
    {RUBBLEMAP_SERVICE_VALIDATE_BUNDLE_CC, "validate_bundle", PLAIN, true},
    {RUBBLEMAP_SERVICE_ACTIVATE_BUNDLE_CC, "activate_bundle", PLAIN, true},
    {RUBBLEMAP_SERVICE_SELF_TEST_CC, "self_test", PLAIN, true},
    {RUBBLEMAP_SERVICE_RESET_COUNTERS_CC, "reset_counters", PLAIN, false},
    {RUBBLEMAP_SERVICE_RECOVER_CC, "recover", PLAIN, false},
    {RUBBLEMAP_SERVICE_SHUTDOWN_CC, "shutdown", PLAIN, false},
};

static void count_accepted(void) { ++RUBBLEMAP_Data.hk.payload.command_count; }

static void count_error(void) { ++RUBBLEMAP_Data.hk.payload.command_error_count; }

bool RUBBLEMAP_HasLength(const CFE_MSG_Message_t *message, size_t expected) {
  CFE_MSG_Size_t size = 0;
  CFE_SB_MsgId_t id = CFE_SB_INVALID_MSG_ID;
  CFE_MSG_FcnCode_t function_code = 0;
  CFE_MSG_GetSize(message, &size);
  if (size == expected) return true;
  CFE_MSG_GetMsgId(message, &id);
  CFE_MSG_GetFcnCode(message, &function_code);
  CFE_EVS_SendEvent(RUBBLEMAP_WRONG_LENGTH_EID, CFE_EVS_EventType_ERROR,
                    "Message 0x%04lX, function code %u: expected %lu bytes, got %lu",
                    (unsigned long)CFE_SB_MsgIdToValue(id), (unsigned)function_code, (unsigned long)expected,
                    (unsigned long)size);
  count_error();
  return false;
}

static rubblemap_value text_value(const char *text, size_t most) {
  rubblemap_value value = {RUBBLEMAP_TEXT, 0, 0, 0, 0.0, text, 0};
  const char *end = memchr(text, '\0', most);
  value.text_size = end == NULL ? most : (size_t)(end - text);
  return value;
}

/* As `flight command` reads a value that is no list or map: true, false, a number, or else the text as it is. text has
 * its end. */
static rubblemap_value read_value(const char *text) {
  rubblemap_value value = {RUBBLEMAP_BOOLEAN, 0, 0, 0, 0.0, NULL, 0};
  char *end = NULL;
  value.boolean = strcmp(text, "true") == 0;
  if (value.boolean || strcmp(text, "false") == 0) return value;
  value = text_value(text, RUBBLEMAP_WORD_SIZE);
  /* strtod takes more than a number in decimals: inf, 0x1p3, blanks. */
  if (text[strspn(text, "-+.0123456789eE")] != '\0' || strpbrk(text, "0123456789") == NULL || text[0] == '+') {
    return value;
  }
  errno = 0;
  const long long whole = strtoll(text, &end, 10);
  if (*end == '\0' && errno == 0) {
    value.type = whole < 0 ? RUBBLEMAP_NEGATIVE : RUBBLEMAP_WHOLE;
    value.whole = whole < 0 ? 0 : (uint64_t)whole;
    value.negative = whole < 0 ? whole : 0;
    return value;
  }
  errno = 0;
  value.real = strtod(text, &end);
  if (*end == '\0' && errno == 0) value.type = RUBBLEMAP_REAL;
  return value;
}

rubblemap_code RUBBLEMAP_Send(const RUBBLEMAP_UnderWay_t *command, const rubblemap_argument *arguments, size_t count,
                              uint32 timeout_ms, const char **reason) {
  RUBBLEMAP_UnderWay_t *place = NULL;
  uint64_t id = 0;
  for (size_t i = 0; place == NULL && i < RUBBLEMAP_MOST_UNDER_WAY; ++i) {
    if (RUBBLEMAP_Data.under_way[i].purpose == RUBBLEMAP_FREE) place = &RUBBLEMAP_Data.under_way[i];
  }
  *reason = "the sockets are not open";
  if (RUBBLEMAP_Data.gnc == NULL) return RUBBLEMAP_NOT_OPENED;
  *reason = "too many commands are under way";
  if (place == NULL) return RUBBLEMAP_REFUSED;
  const rubblemap_code code =
      rubblemap_send_command(RUBBLEMAP_Data.gnc, command->name, NULL, arguments, count, (int)timeout_ms, &id);
  if (code == RUBBLEMAP_OK) {
    *place = *command;
    place->id = id;
    return code;
  }
  *reason = code == RUBBLEMAP_NOT_TAKEN ? "no service is there" : rubblemap_last_error(RUBBLEMAP_Data.gnc);
  if (code == RUBBLEMAP_NOT_OPENED) *reason = "the table has no commands_endpoint";
  if (code == RUBBLEMAP_NOT_TAKEN) RUBBLEMAP_TellSilence();
  return code;
}

/* For the ground: counts, and tells why it was not sent. True when it was. */
static bool send_for_ground(const RUBBLEMAP_UnderWay_t *command, const rubblemap_argument *arguments, size_t count,
                            uint32 timeout_ms) {
  const char *reason = "";
  if (RUBBLEMAP_Send(command, arguments, count, timeout_ms, &reason) == RUBBLEMAP_OK) {
    count_accepted();
    return true;
  }
  CFE_EVS_SendEvent(RUBBLEMAP_COMMAND_NOT_SENT_EID, CFE_EVS_EventType_ERROR, "%s was not sent: %s", command->name,
                    reason);
  count_error();
  return false;
}

static void pass_on(const PassedCommand *passed, const CFE_MSG_Message_t *message) {
  const uint32 timeout_ms =
      passed->takes_time ? RUBBLEMAP_Data.config.slow_timeout_ms : RUBBLEMAP_Data.config.command_timeout_ms;
  const RUBBLEMAP_UnderWay_t command = {RUBBLEMAP_GROUND, 0, passed->name, ""};
  rubblemap_argument arguments[2];
  char value[RUBBLEMAP_WORD_SIZE + 1] = "";
  size_t count = 0;
  size_t length = sizeof(RUBBLEMAP_PlainCmd_t);
  if (passed->arguments == SET_PARAMETER) length = sizeof(RUBBLEMAP_SetParameterCmd_t);
  if (passed->arguments == SET_MODE) length = sizeof(RUBBLEMAP_WordCmd_t);
  if (passed->arguments == LOAD_BUNDLE) length = sizeof(RUBBLEMAP_LoadBundleCmd_t);
  if (!RUBBLEMAP_HasLength(message, length)) return;
  if (passed->arguments == SET_PARAMETER) {
    const RUBBLEMAP_SetParameterCmd_t *set = (const RUBBLEMAP_SetParameterCmd_t *)message;
    arguments[count].name = "name";
    arguments[count++].value = text_value(set->name, sizeof set->name);
    memcpy(value, set->value, sizeof set->value); /* the last zero stays */
    arguments[count].name = "value";
    arguments[count++].value = read_value(value);
  } else if (passed->arguments == SET_MODE) {
    const RUBBLEMAP_WordCmd_t *set = (const RUBBLEMAP_WordCmd_t *)message;
    arguments[count].name = "mode";
    arguments[count++].value = text_value(set->word, sizeof set->word);
  } else if (passed->arguments == LOAD_BUNDLE) {
    const RUBBLEMAP_LoadBundleCmd_t *load = (const RUBBLEMAP_LoadBundleCmd_t *)message;
    arguments[count].name = "path";
    arguments[count++].value = text_value(load->path, sizeof load->path);
  }
  const bool sent = send_for_ground(&command, arguments, count, timeout_ms);
  if (!sent || passed->function_code != RUBBLEMAP_SERVICE_SHUTDOWN_CC) return;
  /* The service ends after its reply, which would be lost with the connection if nobody read it by then. */
  const uint32 before = RUBBLEMAP_Data.hk.payload.replies_completed;
  for (int i = 0; i < SHUTDOWN_WAITS && RUBBLEMAP_Data.hk.payload.replies_completed == before; ++i) {
    RUBBLEMAP_TakeReplies(SHUTDOWN_WAIT_MS);
  }
}

static void tell_parameter_later(const RUBBLEMAP_WordCmd_t *command) {
  RUBBLEMAP_UnderWay_t asked = {RUBBLEMAP_PARAMETER, 0, "get_parameters", ""};
  memcpy(asked.parameter, command->word, sizeof asked.parameter - 1);
  (void)send_for_ground(&asked, NULL, 0, RUBBLEMAP_Data.config.command_timeout_ms);
}

static void reset_counters(void) {
  RUBBLEMAP_HkTlm_Payload_t *hk = &RUBBLEMAP_Data.hk.payload;
  hk->command_count = 0;
  hk->command_error_count = 0;
  hk->replies_completed = 0;
  hk->replies_failed = 0;
  hk->replies_timed_out = 0;
  CFE_EVS_SendEvent(RUBBLEMAP_COUNTERS_RESET_EID, CFE_EVS_EventType_INFORMATION, "Counters of commands reset");
}

void RUBBLEMAP_DispatchCommand(const CFE_MSG_Message_t *message) {
  CFE_MSG_FcnCode_t function_code = 0;
  CFE_MSG_GetFcnCode(message, &function_code);
  for (size_t i = 0; i < sizeof passed_commands / sizeof *passed_commands; ++i) {
    if (passed_commands[i].function_code == function_code) {
      pass_on(&passed_commands[i], message);
      return;
    }
  }
  switch (function_code) {
    case RUBBLEMAP_NOOP_CC:
      if (!RUBBLEMAP_HasLength(message, sizeof(RUBBLEMAP_PlainCmd_t))) return;
      CFE_EVS_SendEvent(RUBBLEMAP_NOOP_EID, CFE_EVS_EventType_INFORMATION, "No operation");
      count_accepted();
      return;
    case RUBBLEMAP_RESET_COUNTERS_CC:
      if (RUBBLEMAP_HasLength(message, sizeof(RUBBLEMAP_PlainCmd_t))) reset_counters();
      return;
    case RUBBLEMAP_TELL_PARAMETER_CC:
      if (RUBBLEMAP_HasLength(message, sizeof(RUBBLEMAP_WordCmd_t))) {
        tell_parameter_later((const RUBBLEMAP_WordCmd_t *)message);
      }
      return;
    default:
      CFE_EVS_SendEvent(RUBBLEMAP_UNKNOWN_COMMAND_EID, CFE_EVS_EventType_ERROR, "Unknown function code %u",
                        (unsigned)function_code);
      count_error();
      return;
  }
}
