/* The app's table, RUBBLEMAP.Config. */
#ifndef RUBBLEMAP_TBL_H
#define RUBBLEMAP_TBL_H

#include "common_types.h"
#include "rubblemap_interface_cfg.h"

/* A new one is taken over with the next request for housekeeping: the sockets are opened anew, counters of products
 * begin anew. Empty texts: without keys; without the commands' endpoint no command is passed on. */
typedef struct {
  char products_endpoint[RUBBLEMAP_ENDPOINT_SIZE];
  char commands_endpoint[RUBBLEMAP_ENDPOINT_SIZE];
  char products_keys[RUBBLEMAP_ENDPOINT_SIZE]; /* a client's folder, see docs/security.md */
  char commands_keys[RUBBLEMAP_ENDPOINT_SIZE];
  double minimum_radius_px;  /* of a landing circle, sensor pixels, above 0 */
  uint32 most_sites;         /* 1..RUBBLEMAP_MOST_SITES */
  uint32 status_period;      /* the service's state is asked for once in so many wake-ups; 0: never */
  uint32 command_timeout_ms; /* 1..600000: for the reply */
  uint32 slow_timeout_ms;    /* likewise, of commands that take time: bundles, self-test */
  uint32 max_height;         /* of a map, pixels: 1..4096; memory is set aside for it */
  uint32 max_width;
} RUBBLEMAP_Config_t;

#endif
