/* The app's table, and the sockets that are opened by it. */
#include <math.h>
#include <string.h>

#include "rubblemap_app.h"

#define MOST_RADIUS_PX 10000.0
#define MOST_TIMEOUT_MS 600000u
#define MOST_SIDE 4096u

static const char *text_or_null(const char *text) { return text[0] == '\0' ? NULL : text; }

static bool has_end(const char *text) { return memchr(text, '\0', RUBBLEMAP_ENDPOINT_SIZE) != NULL; }

static bool is_within(uint32 value, uint32 low, uint32 high) { return value >= low && value <= high; }

/* The first field that is not as it should be, or NULL; and what was expected of it. */
static const char *find_invalid_field(const RUBBLEMAP_Config_t *config, const char **expected) {
  *expected = "a text with its end";
  if (!has_end(config->products_endpoint)) return "products_endpoint";
  if (!has_end(config->commands_endpoint)) return "commands_endpoint";
  if (!has_end(config->products_keys)) return "products_keys";
  if (!has_end(config->commands_keys)) return "commands_keys";
  *expected = "an endpoint";
  if (config->products_endpoint[0] == '\0') return "products_endpoint";
  *expected = "above 0 to 10000";
  if (!isfinite(config->minimum_radius_px) || config->minimum_radius_px <= 0.0 ||
      config->minimum_radius_px > MOST_RADIUS_PX) {
    return "minimum_radius_px";
  }
  *expected = "1 to RUBBLEMAP_MOST_SITES";
  if (!is_within(config->most_sites, 1, RUBBLEMAP_MOST_SITES)) return "most_sites";
  *expected = "1 to 600000";
  if (!is_within(config->command_timeout_ms, 1, MOST_TIMEOUT_MS)) return "command_timeout_ms";
  if (!is_within(config->slow_timeout_ms, 1, MOST_TIMEOUT_MS)) return "slow_timeout_ms";
  *expected = "1 to 4096";
  if (!is_within(config->max_height, 1, MOST_SIDE)) return "max_height";
  if (!is_within(config->max_width, 1, MOST_SIDE)) return "max_width";
  return NULL;
}

static CFE_Status_t validate(void *table) {
  const char *expected = NULL;
  const char *field = find_invalid_field((const RUBBLEMAP_Config_t *)table, &expected);
  if (field == NULL) return CFE_SUCCESS;
  CFE_EVS_SendEvent(RUBBLEMAP_CONFIG_INVALID_EID, CFE_EVS_EventType_ERROR, "Table RUBBLEMAP.Config, %s: expected %s",
                    field, expected);
  return CFE_STATUS_VALIDATION_FAILURE;
}

static void open_sockets(void) {
  const RUBBLEMAP_Config_t *config = &RUBBLEMAP_Data.config;
  rubblemap_options options;
  rubblemap_close(RUBBLEMAP_Data.gnc);
  RUBBLEMAP_Data.gnc = NULL;
  RUBBLEMAP_ForgetCommands();
  RUBBLEMAP_ForgetProducts();
  rubblemap_default_options(&options);
  options.products_endpoint = config->products_endpoint;
  options.products_keys = text_or_null(config->products_keys);
  options.topics = RUBBLEMAP_TOPIC_NAVIGATION | RUBBLEMAP_TOPIC_HAZARD;
  options.max_height = config->max_height;
  options.max_width = config->max_width;
  options.commands_endpoint = text_or_null(config->commands_endpoint);
  options.commands_keys = text_or_null(config->commands_keys);
  if (rubblemap_open(&options, &RUBBLEMAP_Data.gnc) != RUBBLEMAP_OK) {
    CFE_EVS_SendEvent(RUBBLEMAP_NOT_OPENED_EID, CFE_EVS_EventType_CRITICAL, "Sockets not opened: %s",
                      rubblemap_last_error(NULL));
    return;
  }
  CFE_EVS_SendEvent(RUBBLEMAP_OPENED_EID, CFE_EVS_EventType_INFORMATION, "Subscribed to maps at %s",
                    config->products_endpoint);
}

CFE_Status_t RUBBLEMAP_RegisterTable(void) {
  CFE_Status_t status =
      CFE_TBL_Register(&RUBBLEMAP_Data.table, "Config", sizeof(RUBBLEMAP_Config_t), CFE_TBL_OPT_DEFAULT, validate);
  if (status != CFE_SUCCESS) return status;
  status = CFE_TBL_Load(RUBBLEMAP_Data.table, CFE_TBL_SRC_FILE, RUBBLEMAP_CONFIG_FILE);
  if (status != CFE_SUCCESS) {
    CFE_EVS_SendEvent(RUBBLEMAP_CONFIG_NOT_LOADED_EID, CFE_EVS_EventType_ERROR,
                      "%s not loaded, status 0x%08X: waiting for a table", RUBBLEMAP_CONFIG_FILE, (unsigned)status);
  }
  return CFE_SUCCESS;
}

void RUBBLEMAP_ManageTable(void) {
  void *loaded = NULL;
  CFE_TBL_Manage(RUBBLEMAP_Data.table);
  /* CFE_SUCCESS says that nothing was loaded since, and an error that nothing ever was. */
  const CFE_Status_t status = CFE_TBL_GetAddress(&loaded, RUBBLEMAP_Data.table);
  if (status == CFE_TBL_INFO_UPDATED) RUBBLEMAP_Data.config = *(const RUBBLEMAP_Config_t *)loaded;
  CFE_TBL_ReleaseAddress(RUBBLEMAP_Data.table);
  if (status == CFE_TBL_INFO_UPDATED) open_sockets();
}
