/* Commands and telemetry of the app. Numbers are in the processor's byte order, as everywhere in the cFS; positions and
 * lengths in sensor pixels (px), pixel centers at integers, x to the right, y down. docs/gnc.md has the equations. */
#ifndef RUBBLEMAP_MSG_H
#define RUBBLEMAP_MSG_H

#include "cfe_msg_hdr.h"
#include "common_types.h"
#include "rubblemap_interface_cfg.h"

/* Commands. */

typedef struct {
  CFE_MSG_CommandHeader_t header;
} RUBBLEMAP_PlainCmd_t; /* without arguments; also requests for housekeeping and wake-ups */

typedef struct {
  CFE_MSG_CommandHeader_t header;
  char word[RUBBLEMAP_WORD_SIZE]; /* RUBBLEMAP_TELL_PARAMETER_CC: its name, or "mode"; ..._SET_MODE_CC: the mode */
} RUBBLEMAP_WordCmd_t;

typedef struct {
  CFE_MSG_CommandHeader_t header;
  char name[RUBBLEMAP_WORD_SIZE];
  char value[RUBBLEMAP_WORD_SIZE]; /* true, false, a number, or else a text */
} RUBBLEMAP_SetParameterCmd_t;

typedef struct {
  CFE_MSG_CommandHeader_t header;
  char path[RUBBLEMAP_BUNDLE_PATH_SIZE]; /* of a folder inside the service's folder of bundles */
} RUBBLEMAP_LoadBundleCmd_t;

/* Telemetry. */

/* What was heard of the service. */
typedef enum {
  RUBBLEMAP_ServiceState_UNKNOWN = 0,
  RUBBLEMAP_ServiceState_STARTING = 1,
  RUBBLEMAP_ServiceState_READY = 2,
  RUBBLEMAP_ServiceState_DEGRADED = 3,
  RUBBLEMAP_ServiceState_SAFE = 4
} RUBBLEMAP_ServiceState_t;

typedef struct {
  uint8 command_count;       /* commands that were carried out, or handed over to the service */
  uint8 command_error_count; /* and those that were not */
  uint8 service_state;       /* RUBBLEMAP_ServiceState_t */
  uint8 sockets_open;
  uint8 fix_refusal;   /* rubblemap_refusal, of the newest navigation product */
  uint8 sites_refusal; /* likewise, of the newest hazard product */
  uint8 spare[2];
  uint32 replies_completed; /* to ground commands that were passed on */
  uint32 replies_failed;    /* likewise: rejected or failed */
  uint32 replies_timed_out;
  uint32 spare_2;
  uint64 products_received; /* these five of all topics, since the sockets were opened */
  uint64 products_lost;
  uint64 products_skipped; /* replaced by newer ones before they were taken */
  uint64 products_malformed;
  uint64 service_restarts;
  uint64 frames_received; /* these five as the service's state says */
  uint64 frames_processed;
  uint64 worker_restarts;
  double uptime_s;
  double latency_p99_ms; /* 99 % of the last frames took no longer, from arrival to product */
} RUBBLEMAP_HkTlm_Payload_t;

typedef struct {
  CFE_MSG_TelemetryHeader_t header;
  RUBBLEMAP_HkTlm_Payload_t payload;
} RUBBLEMAP_HkTlm_t;

/* The frame that a map answers. */
typedef struct {
  char source[RUBBLEMAP_SOURCE_SIZE]; /* the camera's name */
  uint64 frame_id;
  uint64 capture_time_ns; /* the camera's, not the spacecraft's */
  uint32 epoch;
  uint32 warnings; /* bit i is flag number i of the ICD */
} RUBBLEMAP_FrameStamp_t;

/* The largest body of a navigation map. None is sent for a map that was refused. */
typedef struct {
  RUBBLEMAP_FrameStamp_t frame;
  double x; /* px: centroid */
  double y;
  double covariance_xx; /* px^2: of the centroid */
  double covariance_xy;
  double covariance_yy;
  double diameter; /* px */
  double sun_angle_deg;
  uint8 sun_source;     /* rubblemap_sun_source; 0: no direction */
  uint8 sun_sign_known; /* 0: the opposite direction may be the true one */
  uint8 spare[6];
} RUBBLEMAP_FixTlm_Payload_t;

typedef struct {
  CFE_MSG_TelemetryHeader_t header;
  RUBBLEMAP_FixTlm_Payload_t payload;
} RUBBLEMAP_FixTlm_t;

/* A disc of certain, safe ground. */
typedef struct {
  double x; /* px */
  double y;
  double radius;
  double worst_probability; /* 0..1: of hazard, at the worst pixel that it touches */
} RUBBLEMAP_Site_t;

/* Landing circles of a hazard map, the largest first; those from `count` on are 0. None is sent for a map that was
 * refused; a map without room has none. */
typedef struct {
  RUBBLEMAP_FrameStamp_t frame;
  uint32 count;
  uint8 complete; /* 0: the search reached its bound; what was found holds */
  uint8 spare[3];
  RUBBLEMAP_Site_t sites[RUBBLEMAP_MOST_SITES];
} RUBBLEMAP_SitesTlm_Payload_t;

typedef struct {
  CFE_MSG_TelemetryHeader_t header;
  RUBBLEMAP_SitesTlm_Payload_t payload;
} RUBBLEMAP_SitesTlm_t;

#endif
