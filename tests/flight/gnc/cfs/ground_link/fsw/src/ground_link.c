/* For the integration test: telemetry of the software bus goes out by UDP, commands come in by UDP, and the app under
 * test is woken ten times a second. The ports are those of the environment. */
#include <stdlib.h>
#include <string.h>

#include "cfe.h"
#include "cfe_evs_msgids.h"
#include "rubblemap_msg.h"
#include "rubblemap_msgids.h"

enum { PIPE_DEPTH = 32, WAKEUP_PERIOD_MS = 100, WAIT_MS = 20, MOST_COMMAND_BYTES = 1024 };

static CFE_SB_PipeId_t telemetry_pipe;
static osal_id_t udp_socket;
static OS_SockAddr_t ground;
static RUBBLEMAP_PlainCmd_t wakeup;

static int32 set_address(OS_SockAddr_t *address, const char *variable) {
  const char *port = getenv(variable);
  int32 status = OS_SocketAddrInit(address, OS_SocketDomain_INET);
  if (status == OS_SUCCESS) status = OS_SocketAddrFromString(address, "127.0.0.1");
  if (status == OS_SUCCESS) status = OS_SocketAddrSetPort(address, (uint16)(port == NULL ? 0 : atoi(port)));
  return status;
}

static bool open_socket(void) {
  OS_SockAddr_t own;
  return set_address(&own, "GROUND_LINK_COMMANDS") == OS_SUCCESS &&
         set_address(&ground, "GROUND_LINK_TELEMETRY") == OS_SUCCESS &&
         OS_SocketOpen(&udp_socket, OS_SocketDomain_INET, OS_SocketType_DATAGRAM) == OS_SUCCESS &&
         OS_SocketBind(udp_socket, &own) == OS_SUCCESS;
}

static bool subscribe(void) {
  static const CFE_SB_MsgId_Atom_t telemetry[] = {RUBBLEMAP_HK_TLM_MID, RUBBLEMAP_FIX_TLM_MID, RUBBLEMAP_SITES_TLM_MID,
                                                  CFE_EVS_LONG_EVENT_MSG_MID};
  CFE_Status_t status = CFE_SB_CreatePipe(&telemetry_pipe, PIPE_DEPTH, "GROUND_LINK");
  for (size_t i = 0; status == CFE_SUCCESS && i < sizeof telemetry / sizeof *telemetry; ++i) {
    status = CFE_SB_SubscribeEx(CFE_SB_ValueToMsgId(telemetry[i]), telemetry_pipe, CFE_SB_DEFAULT_QOS, PIPE_DEPTH);
  }
  return status == CFE_SUCCESS;
}

/* Telemetry to the ground, until none has come for WAIT_MS. */
static void forward_telemetry(void) {
  CFE_SB_Buffer_t *buffer = NULL;
  while (CFE_SB_ReceiveBuffer(&buffer, telemetry_pipe, WAIT_MS) == CFE_SUCCESS) {
    CFE_MSG_Size_t size = 0;
    CFE_MSG_GetSize(&buffer->Msg, &size);
    OS_SocketSendTo(udp_socket, buffer, size, &ground);
  }
}

/* Commands of the ground onto the bus, as they come. */
static void forward_commands(void) {
  uint8 bytes[MOST_COMMAND_BYTES];
  int32 size = 0;
  while ((size = OS_SocketRecvFrom(udp_socket, bytes, sizeof bytes, NULL, OS_CHECK)) > 0) {
    CFE_SB_Buffer_t *buffer = CFE_SB_AllocateMessageBuffer((size_t)size);
    if (buffer == NULL) return;
    memcpy(buffer, bytes, (size_t)size);
    if (CFE_SB_TransmitBuffer(buffer, false) != CFE_SUCCESS) CFE_SB_ReleaseMessageBuffer(buffer);
  }
}

void GROUND_LINK_AppMain(void);

void GROUND_LINK_AppMain(void) {
  uint32 run_status = CFE_ES_RunStatus_APP_RUN;
  OS_time_t last = OS_TIME_ZERO;
  OS_time_t now = OS_TIME_ZERO;
  const bool opened = open_socket();
  if (!opened || !subscribe()) {
    CFE_ES_WriteToSysLog("GROUND_LINK: set-up of the %s failed\n", opened ? "pipe" : "socket");
    run_status = CFE_ES_RunStatus_APP_ERROR;
  }
  CFE_MSG_Init(CFE_MSG_PTR(wakeup.header), CFE_SB_ValueToMsgId(RUBBLEMAP_WAKEUP_MID), sizeof wakeup);
  CFE_ES_WaitForStartupSync(10000);
  while (CFE_ES_RunLoop(&run_status)) {
    forward_telemetry();
    forward_commands();
    OS_GetLocalTime(&now);
    if (OS_TimeGetTotalMilliseconds(OS_TimeSubtract(now, last)) >= WAKEUP_PERIOD_MS) {
      last = now;
      CFE_SB_TransmitMsg(CFE_MSG_PTR(wakeup.header), true);
    }
  }
  CFE_ES_ExitApp(run_status);
}
