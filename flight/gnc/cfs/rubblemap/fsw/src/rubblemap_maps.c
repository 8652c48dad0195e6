/* What the app makes of map products. */
#include <string.h>

#include "rubblemap_app.h"

/* A mission may have other sizes than rubblemap_interface_cfg.h. */
CompileTimeAssert(RUBBLEMAP_SOURCE_SIZE >= sizeof(((rubblemap_product *)0)->source), SourceNameFits);
CompileTimeAssert(RUBBLEMAP_MOST_SITES >= 1 && RUBBLEMAP_MOST_SITES <= RUBBLEMAP_MOST_CIRCLES, SitesAreFound);
CompileTimeAssert(sizeof(RUBBLEMAP_FrameStamp_t) == RUBBLEMAP_SOURCE_SIZE + 24, FrameStampHasNoGaps);
CompileTimeAssert(sizeof(RUBBLEMAP_FixTlm_t) == sizeof(CFE_MSG_TelemetryHeader_t) + RUBBLEMAP_SOURCE_SIZE + 88,
                  FixHasNoGaps);

static void stamp(RUBBLEMAP_FrameStamp_t *frame, const rubblemap_product *product, uint32 warnings) {
  memset(frame, 0, sizeof *frame);
  memcpy(frame->source, product->source, sizeof product->source);
  frame->frame_id = product->frame_id;
  frame->capture_time_ns = product->capture_time_ns;
  frame->epoch = product->epoch;
  frame->warnings = warnings;
}

static void transmit(CFE_MSG_Message_t *message) {
  CFE_SB_TimeStampMsg(message);
  CFE_SB_TransmitMsg(message, true);
}

/* Tells a refusal, and the end of refusals, once. */
static void tell_refusal(uint8 *last, rubblemap_refusal refusal, const rubblemap_product *product, const char *what,
                         uint16 refused_event, uint16 usable_event) {
  if (*last == (uint8)refusal) return;
  *last = (uint8)refusal;
  if (refusal == RUBBLEMAP_REFUSAL_NONE) {
    CFE_EVS_SendEvent(usable_event, CFE_EVS_EventType_INFORMATION, "%s from frame %llu on", what,
                      (unsigned long long)product->frame_id);
  } else {
    CFE_EVS_SendEvent(refused_event, CFE_EVS_EventType_ERROR, "No %s from frame %llu on: %s", what,
                      (unsigned long long)product->frame_id, rubblemap_refusal_name(refusal));
  }
}

static void publish_fix(const rubblemap_product *product) {
  RUBBLEMAP_FixTlm_Payload_t *payload = &RUBBLEMAP_Data.fix.payload;
  rubblemap_fix fix;
  const rubblemap_code code = rubblemap_navigation_fix(RUBBLEMAP_Data.gnc, product, &fix);
  tell_refusal(&RUBBLEMAP_Data.hk.payload.fix_refusal, fix.refusal, product, "fix", RUBBLEMAP_FIX_REFUSED_EID,
               RUBBLEMAP_FIX_USABLE_EID);
  if (code != RUBBLEMAP_OK) return;
  stamp(&payload->frame, product, fix.warnings);
  payload->x = fix.x;
  payload->y = fix.y;
  payload->covariance_xx = fix.covariance_xx;
  payload->covariance_xy = fix.covariance_xy;
  payload->covariance_yy = fix.covariance_yy;
  payload->diameter = fix.diameter;
  payload->sun_angle_deg = fix.sun_angle_deg;
  payload->sun_source = (uint8)fix.sun_source;
  payload->sun_sign_known = fix.sun_sign_known != 0;
  transmit(CFE_MSG_PTR(RUBBLEMAP_Data.fix.header));
}

static void publish_sites(const rubblemap_product *product) {
  RUBBLEMAP_SitesTlm_Payload_t *payload = &RUBBLEMAP_Data.sites.payload;
  rubblemap_landing landing;
  const rubblemap_code code = rubblemap_landing_circles(
      RUBBLEMAP_Data.gnc, product, RUBBLEMAP_Data.config.minimum_radius_px, RUBBLEMAP_Data.config.most_sites, &landing);
  tell_refusal(&RUBBLEMAP_Data.hk.payload.sites_refusal, landing.refusal, product, "landing circles",
               RUBBLEMAP_SITES_REFUSED_EID, RUBBLEMAP_SITES_USABLE_EID);
  if (code != RUBBLEMAP_OK) return;
  memset(payload, 0, sizeof *payload);
  stamp(&payload->frame, product, landing.warnings);
  payload->count = landing.count;
  payload->complete = landing.complete != 0;
  for (uint32 i = 0; i < landing.count; ++i) {
    payload->sites[i].x = landing.circles[i].x;
    payload->sites[i].y = landing.circles[i].y;
    payload->sites[i].radius = landing.circles[i].radius;
    payload->sites[i].worst_probability = landing.circles[i].worst_probability;
  }
  transmit(CFE_MSG_PTR(RUBBLEMAP_Data.sites.header));
}

static RUBBLEMAP_Counts_t count_products(void) {
  RUBBLEMAP_Counts_t counts = {0, 0, 0, 0, 0};
  rubblemap_statistics statistics;
  rubblemap_get_statistics(RUBBLEMAP_Data.gnc, &statistics);
  for (size_t i = 0; i < RUBBLEMAP_TOPICS; ++i) {
    counts.received += statistics.topics[i].received;
    counts.lost += statistics.topics[i].lost;
    counts.skipped += statistics.topics[i].skipped;
    counts.restarts += statistics.topics[i].restarts;
  }
  for (size_t i = 0; i < RUBBLEMAP_REASONS; ++i) counts.malformed += statistics.malformed[i];
  return counts;
}

static void tell_counts(void) {
  const RUBBLEMAP_Counts_t now = count_products();
  const RUBBLEMAP_Counts_t before = RUBBLEMAP_Data.counts;
  RUBBLEMAP_Data.counts = now;
  if (now.restarts > before.restarts) {
    CFE_EVS_SendEvent(RUBBLEMAP_SERVICE_RESTARTED_EID, CFE_EVS_EventType_ERROR,
                      "The numbers of products began anew: the service has started again");
  }
  if (now.lost > before.lost) {
    CFE_EVS_SendEvent(RUBBLEMAP_PRODUCTS_LOST_EID, CFE_EVS_EventType_ERROR, "%llu products were lost",
                      (unsigned long long)(now.lost - before.lost));
  }
  if (now.malformed > before.malformed) {
    CFE_EVS_SendEvent(RUBBLEMAP_PRODUCTS_MALFORMED_EID, CFE_EVS_EventType_ERROR, "%llu products broke the contract: %s",
                      (unsigned long long)(now.malformed - before.malformed),
                      rubblemap_last_malformed(RUBBLEMAP_Data.gnc));
  }
}

void RUBBLEMAP_TakeProducts(void) {
  const rubblemap_product *product = NULL;
  (void)rubblemap_poll(RUBBLEMAP_Data.gnc, 0);
  if (rubblemap_take_topic(RUBBLEMAP_Data.gnc, RUBBLEMAP_NAVIGATION, &product) == RUBBLEMAP_OK) {
    publish_fix(product);
    rubblemap_release(RUBBLEMAP_Data.gnc, product);
  }
  if (rubblemap_take_topic(RUBBLEMAP_Data.gnc, RUBBLEMAP_HAZARD, &product) == RUBBLEMAP_OK) {
    publish_sites(product);
    rubblemap_release(RUBBLEMAP_Data.gnc, product);
  }
  tell_counts();
}

void RUBBLEMAP_ForgetProducts(void) {
  memset(&RUBBLEMAP_Data.counts, 0, sizeof RUBBLEMAP_Data.counts);
  RUBBLEMAP_Data.hk.payload.fix_refusal = RUBBLEMAP_REFUSAL_NONE;
  RUBBLEMAP_Data.hk.payload.sites_refusal = RUBBLEMAP_REFUSAL_NONE;
}
