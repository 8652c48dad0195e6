/* The table as it is at start, for a service on the same computer without keys; a mission has its own. */
#include "cfe_tbl_filedef.h"
#include "rubblemap_tbl.h"

RUBBLEMAP_Config_t RUBBLEMAP_Config = {
    .products_endpoint = "tcp://127.0.0.1:5602",
    .commands_endpoint = "tcp://127.0.0.1:5604",
    .minimum_radius_px = 4.0,
    .most_sites = RUBBLEMAP_MOST_SITES,
    .status_period = 10,
    .command_timeout_ms = 2000,
    .slow_timeout_ms = 120000,
    .max_height = 256,
    .max_width = 256,
};

CFE_TBL_FILEDEF(RUBBLEMAP_Config, RUBBLEMAP.Config, Endpoints and limits, rubblemap_cfg.tbl)
