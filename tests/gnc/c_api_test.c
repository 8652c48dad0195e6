/* The C face, used from C99: every function, and what it says when it cannot. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c_api_service.h"
#include "rubblemap_gnc.h"

#define REQUIRE(condition)                                                       \
  do {                                                                           \
    if (!(condition)) {                                                          \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
      exit(1);                                                                   \
    }                                                                            \
  } while (0)

static void check_products(rubblemap_gnc *gnc) {
  const rubblemap_product *navigation = NULL, *hazard = NULL, *none = NULL;
  const rubblemap_plane *clearance;
  rubblemap_statistics statistics;
  uint64_t sequence;
  int polls;

  REQUIRE(rubblemap_poll(gnc, 0) == RUBBLEMAP_NOTHING);
  REQUIRE(rubblemap_take(gnc, &none) == RUBBLEMAP_NOTHING && none == NULL);
  for (sequence = 3; sequence < 8; ++sequence) service_publish("map.navigation", sequence, sequence == 5);
  service_publish("map.hazard", 7, 0);
  for (polls = 0; polls < 1000; ++polls) {
    REQUIRE(rubblemap_poll(gnc, 10000) == RUBBLEMAP_OK);
    rubblemap_get_statistics(gnc, &statistics);
    if (statistics.topics[RUBBLEMAP_HAZARD].received == 1) break;
  }
  REQUIRE(rubblemap_take_topic(gnc, RUBBLEMAP_FULL, &none) == RUBBLEMAP_NOTHING && none == NULL);
  REQUIRE(rubblemap_take(gnc, &navigation) == RUBBLEMAP_OK);
  REQUIRE(navigation->topic == RUBBLEMAP_NAVIGATION && navigation->sequence == 7);
  REQUIRE(navigation->status == RUBBLEMAP_VALID && strcmp(navigation->source, "navcam") == 0);
  REQUIRE(strcmp(navigation->bundle_name, "tiny") == 0 && strlen(navigation->bundle_sha256) == 64);
  REQUIRE(strcmp(navigation->mode, "Fused") == 0 && navigation->gamma == 3.0 && navigation->seed == 5);
  REQUIRE(navigation->map_to_sensor[0] == 1.0 && navigation->timing_ms[4] == 4.0);
  REQUIRE(navigation->class_count == 3 && navigation->classes[2].role == RUBBLEMAP_HAZARDOUS);
  REQUIRE(strcmp(navigation->classes[1].name, "class safe") == 0 && navigation->flag_count == 0);
  REQUIRE(navigation->plane_count == 3 && navigation->planes[0].dtype == RUBBLEMAP_U8);
  REQUIRE(rubblemap_take_topic(gnc, RUBBLEMAP_HAZARD, &hazard) == RUBBLEMAP_OK);
  clearance = rubblemap_find_plane(hazard, "clearance");
  REQUIRE(clearance != NULL && clearance->dtype == RUBBLEMAP_F16 && clearance->dimensions == 2);
  REQUIRE(clearance->shape[0] == 8 && clearance->shape[1] == 12 && clearance->size == 192);
  REQUIRE(rubblemap_find_plane(hazard, "class_map") == NULL);

  /* Both places are in use. */
  service_publish("map.navigation", 8, 0);
  REQUIRE(rubblemap_poll(gnc, 10000) == RUBBLEMAP_OK);
  REQUIRE(rubblemap_take(gnc, &none) == RUBBLEMAP_NOT_TAKEN && none == NULL);
  rubblemap_release(gnc, navigation);
  rubblemap_release(gnc, NULL);
  REQUIRE(rubblemap_take(gnc, &navigation) == RUBBLEMAP_OK && navigation->sequence == 8);
  rubblemap_release(gnc, navigation);
  rubblemap_release(gnc, hazard);

  rubblemap_get_statistics(gnc, &statistics);
  REQUIRE(statistics.topics[RUBBLEMAP_NAVIGATION].received == 5);
  REQUIRE(statistics.topics[RUBBLEMAP_NAVIGATION].skipped == 3);
  REQUIRE(statistics.topics[RUBBLEMAP_NAVIGATION].lost == 1);
  REQUIRE(statistics.malformed[RUBBLEMAP_CRC_MISMATCH] == 1 && statistics.products_not_taken == 1);
  REQUIRE(strstr(rubblemap_last_malformed(gnc), "plane class_map: crc32") != NULL);
  REQUIRE(strcmp(rubblemap_reason_name(RUBBLEMAP_CRC_MISMATCH), "crc_mismatch") == 0);
}

static void check_frames(rubblemap_gnc *gnc) {
  static uint16_t pixels[20 * 30];
  rubblemap_frame frame;
  rubblemap_statistics statistics;
  rubblemap_code code = RUBBLEMAP_NOT_TAKEN;
  uint64_t frame_id = 99;
  long tries;

  memset(&frame, 0, sizeof frame);
  frame.pixels = pixels;
  frame.height = 20;
  frame.width = 30;
  frame.channels = 1;
  frame.type_bits = 16;
  frame.bit_depth = 12;
  frame.has_exposure_s = 1;
  frame.exposure_s = 0.125;
  for (tries = 0; tries < 100000000 && code == RUBBLEMAP_NOT_TAKEN; ++tries) {
    code = rubblemap_send_frame(gnc, &frame, &frame_id);
  }
  REQUIRE(code == RUBBLEMAP_OK && frame_id == 0 && service_take_frame() == 1200);
  frame.height = 3;
  REQUIRE(rubblemap_send_frame(gnc, &frame, NULL) == RUBBLEMAP_REFUSED);
  REQUIRE(strstr(rubblemap_last_error(gnc), "frame.height: expected 16..4096, got 3") != NULL);
  frame.type_bits = 12;
  REQUIRE(rubblemap_send_frame(gnc, &frame, NULL) == RUBBLEMAP_REFUSED);
  rubblemap_get_statistics(gnc, &statistics);
  REQUIRE(statistics.frames_sent == 1);
}

static void check_commands(rubblemap_gnc *gnc) {
  rubblemap_argument arguments[3];
  rubblemap_value value;
  rubblemap_reply reply;
  rubblemap_statistics statistics;
  rubblemap_code code = RUBBLEMAP_NOT_TAKEN;
  uint64_t id = 0;
  long tries;

  memset(arguments, 0, sizeof arguments);
  arguments[0].name = "passes";
  arguments[0].value.type = RUBBLEMAP_WHOLE;
  arguments[0].value.whole = 10;
  arguments[1].name = "gamma";
  arguments[1].value.type = RUBBLEMAP_REAL;
  arguments[1].value.real = 2.5;
  arguments[2].name = "centering";
  arguments[2].value.type = RUBBLEMAP_TEXT;
  arguments[2].value.text = "off";
  for (tries = 0; tries < 100000000 && code == RUBBLEMAP_NOT_TAKEN; ++tries) {
    code = rubblemap_send_command(gnc, "set_parameters", "values", arguments, 3, 10000, &id);
  }
  REQUIRE(code == RUBBLEMAP_OK && id != 0);
  REQUIRE(rubblemap_poll_reply(gnc, 0, &reply) == RUBBLEMAP_NOTHING);
  REQUIRE(rubblemap_result(gnc, "", &value) == RUBBLEMAP_NOTHING);
  service_answer();
  REQUIRE(rubblemap_poll_reply(gnc, 10000, &reply) == RUBBLEMAP_OK);
  REQUIRE(reply.id == id && reply.status == RUBBLEMAP_COMPLETED && strcmp(reply.code, "ok") == 0);
  REQUIRE(rubblemap_result(gnc, "values.passes", &value) == RUBBLEMAP_OK);
  REQUIRE(value.type == RUBBLEMAP_WHOLE && value.whole == 10);
  REQUIRE(rubblemap_result(gnc, "values.centering", &value) == RUBBLEMAP_OK);
  REQUIRE(value.type == RUBBLEMAP_TEXT && value.text_size == 3 && memcmp(value.text, "off", 3) == 0);
  REQUIRE(rubblemap_send_command(gnc, "", NULL, NULL, 0, 1000, NULL) == RUBBLEMAP_REFUSED);
  REQUIRE(strstr(rubblemap_last_error(gnc), "command.name") != NULL);
  REQUIRE(rubblemap_send_command(gnc, "no_op", NULL, NULL, 0, 50, &id) == RUBBLEMAP_OK);
  REQUIRE(rubblemap_poll_reply(gnc, 10000, &reply) == RUBBLEMAP_TIMED_OUT && reply.id == id);
  rubblemap_get_statistics(gnc, &statistics);
  REQUIRE(statistics.commands_sent == 2 && statistics.replies == 1 && statistics.replies_timed_out == 1);
}

static void check_opening(void) {
  rubblemap_options options;
  rubblemap_gnc *gnc = NULL;
  const rubblemap_product *product = NULL;
  rubblemap_reply reply;

  rubblemap_default_options(&options);
  options.products_endpoint = "nonsense";
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED && gnc == NULL);
  REQUIRE(strstr(rubblemap_last_error(NULL), "products socket: cannot connect to nonsense") != NULL);
  options.products_endpoint = "tcp://127.0.0.1:1";
  options.products_keys = "/nowhere";
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "/nowhere/client.key_secret") != NULL);
  rubblemap_default_options(&options);
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  REQUIRE(rubblemap_poll(gnc, 0) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(strstr(rubblemap_last_error(gnc), "products_endpoint") != NULL);
  REQUIRE(rubblemap_take(gnc, &product) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_send_frame(gnc, NULL, NULL) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_send_command(gnc, "no_op", NULL, NULL, 0, 0, NULL) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_poll_reply(gnc, 0, &reply) == RUBBLEMAP_NOT_OPENED);
  rubblemap_close(gnc);
  rubblemap_close(NULL);
}

int main(void) {
  static const uint8_t half[2] = {0x00, 0xC2}; /* -3 */
  rubblemap_options options;
  rubblemap_gnc *gnc = NULL;

  check_opening();
  service_start();
  rubblemap_default_options(&options);
  options.products_endpoint = service_endpoint("products");
  options.topics = 1u << RUBBLEMAP_NAVIGATION | 1u << RUBBLEMAP_HAZARD;
  options.frames_endpoint = service_endpoint("frames");
  options.commands_endpoint = service_endpoint("commands");
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  service_wait_for_subscriptions(2);
  check_products(gnc);
  check_frames(gnc);
  check_commands(gnc);
  rubblemap_close(gnc);
  service_stop();
  REQUIRE(rubblemap_half(half) == -3.0f);
  puts("C: received, sent and commanded");
  return 0;
}
