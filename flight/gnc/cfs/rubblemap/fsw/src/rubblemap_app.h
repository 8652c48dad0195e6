/* What the files of the app share. All of it runs in the app's one task. */
#ifndef RUBBLEMAP_APP_H
#define RUBBLEMAP_APP_H

#include <stdbool.h>

#include "cfe.h"
#include "rubblemap_eventids.h"
#include "rubblemap_gnc.h"
#include "rubblemap_msg.h"
#include "rubblemap_tbl.h"

enum { RUBBLEMAP_MOST_UNDER_WAY = 16 }; /* commands, as the library allows */

/* A command that waits for its reply. */
typedef struct {
  enum {
    RUBBLEMAP_FREE = 0,      /* none */
    RUBBLEMAP_GROUND = 1,    /* passed on for the ground */
    RUBBLEMAP_PARAMETER = 2, /* get_parameters, to tell one of them */
    RUBBLEMAP_OWN_STATUS = 3 /* get_status, on the app's own account */
  } purpose;
  uint64_t id;
  const char *name; /* of the service's command */
  char parameter[RUBBLEMAP_WORD_SIZE];
} RUBBLEMAP_UnderWay_t;

/* Of all topics, as they were told last. */
typedef struct {
  uint64 received;
  uint64 lost;
  uint64 skipped;
  uint64 malformed;
  uint64 restarts;
} RUBBLEMAP_Counts_t;

typedef struct {
  CFE_SB_PipeId_t pipe;
  CFE_TBL_Handle_t table;
  RUBBLEMAP_Config_t config;
  rubblemap_gnc *gnc; /* NULL: the sockets are not open */

  RUBBLEMAP_UnderWay_t under_way[RUBBLEMAP_MOST_UNDER_WAY];
  uint32 wakeups_until_status;
  bool status_under_way;
  bool silence_told;

  RUBBLEMAP_Counts_t counts;
  RUBBLEMAP_HkTlm_t hk;
  RUBBLEMAP_FixTlm_t fix;
  RUBBLEMAP_SitesTlm_t sites;
} RUBBLEMAP_Data_t;

extern RUBBLEMAP_Data_t RUBBLEMAP_Data;

/* The entry point of the startup script. */
void RUBBLEMAP_AppMain(void);

/* rubblemap_config.c */

/* Registers the table and loads its file; without one the app waits for a table from the ground. */
CFE_Status_t RUBBLEMAP_RegisterTable(void);

/* Takes over a table that was loaded: opens the sockets anew. */
void RUBBLEMAP_ManageTable(void);

/* rubblemap_maps.c */

/* Takes in the products that came: fix, landing circles and counts. */
void RUBBLEMAP_TakeProducts(void);

/* Forgets what was told of the products of earlier sockets. */
void RUBBLEMAP_ForgetProducts(void);

/* rubblemap_commands.c */

/* A command of the ground, RUBBLEMAP_CMD_MID. */
void RUBBLEMAP_DispatchCommand(const CFE_MSG_Message_t *message);

/* True when the message is as long as expected; else it is told and counted. */
bool RUBBLEMAP_HasLength(const CFE_MSG_Message_t *message, size_t expected);

/* Sends a command to the service; RUBBLEMAP_OK, or why not, and `reason` is set then. */
rubblemap_code RUBBLEMAP_Send(const RUBBLEMAP_UnderWay_t *command, const rubblemap_argument *arguments, size_t count,
                              uint32 timeout_ms, const char **reason);

/* rubblemap_replies.c */

/* Takes in the replies that came. */
void RUBBLEMAP_TakeReplies(int wait_ms);

/* Asks for the service's state when it is time. */
void RUBBLEMAP_AskForStatus(void);

/* The service does not answer: tells it once. */
void RUBBLEMAP_TellSilence(void);

/* Forgets commands that were sent by earlier sockets. */
void RUBBLEMAP_ForgetCommands(void);

#endif
