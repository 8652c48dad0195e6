/* A client of the Rubblemap service as an app of the core Flight System. Woken by the scheduler it takes in maps and
 * publishes a navigation fix and landing circles; it passes the ground's commands on to the service. */
#include "rubblemap_app.h"

#include <string.h>

#include "rubblemap_msgids.h"

RUBBLEMAP_Data_t RUBBLEMAP_Data;

static void init_messages(void) {
  RUBBLEMAP_Data_t *app = &RUBBLEMAP_Data;
  CFE_MSG_Init(CFE_MSG_PTR(app->hk.header), CFE_SB_ValueToMsgId(RUBBLEMAP_HK_TLM_MID), sizeof app->hk);
  CFE_MSG_Init(CFE_MSG_PTR(app->fix.header), CFE_SB_ValueToMsgId(RUBBLEMAP_FIX_TLM_MID), sizeof app->fix);
  CFE_MSG_Init(CFE_MSG_PTR(app->sites.header), CFE_SB_ValueToMsgId(RUBBLEMAP_SITES_TLM_MID), sizeof app->sites);
}

static CFE_Status_t initialize(void) {
  static const CFE_SB_MsgId_Atom_t subscriptions[] = {RUBBLEMAP_CMD_MID, RUBBLEMAP_SEND_HK_MID, RUBBLEMAP_WAKEUP_MID};
  CFE_Status_t status = CFE_EVS_Register(NULL, 0, CFE_EVS_EventFilter_BINARY);
  memset(&RUBBLEMAP_Data, 0, sizeof RUBBLEMAP_Data);
  init_messages();
  if (status == CFE_SUCCESS) status = CFE_SB_CreatePipe(&RUBBLEMAP_Data.pipe, RUBBLEMAP_PIPE_DEPTH, "RUBBLEMAP");
  for (size_t i = 0; status == CFE_SUCCESS && i < sizeof subscriptions / sizeof *subscriptions; ++i) {
    status = CFE_SB_Subscribe(CFE_SB_ValueToMsgId(subscriptions[i]), RUBBLEMAP_Data.pipe);
  }
  if (status == CFE_SUCCESS) status = RUBBLEMAP_RegisterTable();
  if (status != CFE_SUCCESS) {
    CFE_ES_WriteToSysLog("RUBBLEMAP: set-up failed, status 0x%08X\n", (unsigned)status);
    return status;
  }
  CFE_EVS_SendEvent(RUBBLEMAP_STARTED_EID, CFE_EVS_EventType_INFORMATION, "Started");
  RUBBLEMAP_ManageTable();
  return CFE_SUCCESS;
}

static void send_housekeeping(void) {
  RUBBLEMAP_HkTlm_Payload_t *hk = &RUBBLEMAP_Data.hk.payload;
  const RUBBLEMAP_Counts_t *counts = &RUBBLEMAP_Data.counts;
  hk->sockets_open = RUBBLEMAP_Data.gnc != NULL;
  hk->products_received = counts->received;
  hk->products_lost = counts->lost;
  hk->products_skipped = counts->skipped;
  hk->products_malformed = counts->malformed;
  hk->service_restarts = counts->restarts;
  CFE_SB_TimeStampMsg(CFE_MSG_PTR(RUBBLEMAP_Data.hk.header));
  CFE_SB_TransmitMsg(CFE_MSG_PTR(RUBBLEMAP_Data.hk.header), true);
}

static void on_wakeup(void) {
  if (RUBBLEMAP_Data.gnc == NULL) return;
  RUBBLEMAP_TakeProducts();
  RUBBLEMAP_TakeReplies(0);
  RUBBLEMAP_AskForStatus();
}

static void dispatch(const CFE_SB_Buffer_t *buffer) {
  CFE_SB_MsgId_t id = CFE_SB_INVALID_MSG_ID;
  CFE_MSG_GetMsgId(&buffer->Msg, &id);
  switch (CFE_SB_MsgIdToValue(id)) {
    case RUBBLEMAP_WAKEUP_MID:
      if (RUBBLEMAP_HasLength(&buffer->Msg, sizeof(RUBBLEMAP_PlainCmd_t))) on_wakeup();
      break;
    case RUBBLEMAP_SEND_HK_MID:
      if (RUBBLEMAP_HasLength(&buffer->Msg, sizeof(RUBBLEMAP_PlainCmd_t))) {
        RUBBLEMAP_ManageTable();
        send_housekeeping();
      }
      break;
    case RUBBLEMAP_CMD_MID: RUBBLEMAP_DispatchCommand(&buffer->Msg); break;
    default:
      CFE_EVS_SendEvent(RUBBLEMAP_UNKNOWN_MESSAGE_EID, CFE_EVS_EventType_ERROR, "Unknown message, identifier 0x%04lX",
                        (unsigned long)CFE_SB_MsgIdToValue(id));
      break;
  }
}

void RUBBLEMAP_AppMain(void) {
  uint32 run_status = initialize() == CFE_SUCCESS ? CFE_ES_RunStatus_APP_RUN : CFE_ES_RunStatus_APP_ERROR;
  while (CFE_ES_RunLoop(&run_status)) {
    CFE_SB_Buffer_t *buffer = NULL;
    const CFE_Status_t status = CFE_SB_ReceiveBuffer(&buffer, RUBBLEMAP_Data.pipe, CFE_SB_PEND_FOREVER);
    if (status == CFE_SUCCESS) {
      CFE_ES_PerfLogEntry(RUBBLEMAP_PERF_ID);
      dispatch(buffer);
      CFE_ES_PerfLogExit(RUBBLEMAP_PERF_ID);
    } else {
      CFE_EVS_SendEvent(RUBBLEMAP_PIPE_FAILED_EID, CFE_EVS_EventType_CRITICAL, "Pipe: status 0x%08X", (unsigned)status);
      run_status = CFE_ES_RunStatus_APP_ERROR;
    }
  }
  rubblemap_close(RUBBLEMAP_Data.gnc);
  CFE_ES_ExitApp(run_status);
}
