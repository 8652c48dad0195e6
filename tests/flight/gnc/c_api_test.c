/* The C face, used from C99: every function, and what it says when it cannot. */
#define _POSIX_C_SOURCE 200809L /* fork, alarm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "c_api_service.h"
#include "rubblemap_gnc.h"

#define REQUIRE(condition)                                                    \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
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

static const rubblemap_product *take_next(rubblemap_gnc *gnc) {
  const rubblemap_product *product = NULL;
  REQUIRE(rubblemap_poll(gnc, 10000) == RUBBLEMAP_OK && rubblemap_take(gnc, &product) == RUBBLEMAP_OK);
  return product;
}

static void check_fix(rubblemap_gnc *gnc) {
  const rubblemap_product *product;
  rubblemap_fix fix;

  service_publish_body("map.navigation", "body_cut", 0);
  product = take_next(gnc);
  REQUIRE(rubblemap_navigation_fix(gnc, product, &fix) == RUBBLEMAP_OK && fix.refusal == RUBBLEMAP_REFUSAL_NONE);
  REQUIRE(fabs(fix.x - 16.0) < 1e-9 && fabs(fix.y - 20.0) < 1e-9 && fix.body_pixels == 81 && fix.edge_pixels == 0);
  REQUIRE(fabs(fix.area - 324.0) < 1e-9 && fabs(fix.diameter - sqrt(4.0 * fix.area / acos(-1.0))) < 1e-9);
  REQUIRE(fix.covariance_xx > 0.0 && fix.covariance_yy > 0.0 && fabs(fix.covariance_xy) < 1e-9);
  REQUIRE(fabs(fix.major_axis - fix.minor_axis) < 1e-9 && fix.major_axis > 18.0 && fix.major_axis < 22.0);
  REQUIRE(fabs(fix.major_angle_deg) <= 90.0);
  REQUIRE(fix.terminator_pixels == 0 && fix.sun_source == RUBBLEMAP_SUN_NONE && fix.sun_strength == 0.0);
  REQUIRE(strcmp(rubblemap_flag_name(7), "body_cut") == 0 && fix.warnings == 1u << 7);
  rubblemap_release(gnc, product);
  REQUIRE(rubblemap_navigation_fix(gnc, product, &fix) == RUBBLEMAP_REFUSED);
  REQUIRE(fix.refusal == RUBBLEMAP_REFUSAL_INVALID_ARGUMENT && fix.x == 0.0 && fix.body_pixels == 0);
  REQUIRE(strstr(rubblemap_last_error(gnc), "navigation_fix: product: expected one that is held") != NULL);

  service_publish_body("map.navigation", "", 1);
  product = take_next(gnc);
  REQUIRE(rubblemap_navigation_fix(gnc, product, &fix) == RUBBLEMAP_OK && fix.terminator_pixels == 27);
  REQUIRE(fix.sun_source == RUBBLEMAP_SUN_TERMINATOR && fix.sun_sign_known == 1 && fix.warnings == 0);
  REQUIRE(fabs(fix.sun_x + 1.0) < 1e-9 && fabs(fix.sun_y) < 1e-9 && fabs(fabs(fix.sun_angle_deg) - 180.0) < 1e-6);
  REQUIRE(fix.sun_strength > 0.25 && fix.sun_strength < 1.0);
  rubblemap_release(gnc, product);

  service_publish_body("map.navigation", "dark", 0);
  product = take_next(gnc);
  REQUIRE(rubblemap_navigation_fix(gnc, product, &fix) == RUBBLEMAP_NOTHING && fix.refusal == RUBBLEMAP_REFUSAL_DARK);
  REQUIRE(fix.x == 0.0 && fix.area == 0.0 && fix.warnings == 0);
  REQUIRE(strcmp(rubblemap_refusal_name(fix.refusal), "dark") == 0);
  rubblemap_release(gnc, product);
}

static void check_circles(rubblemap_gnc *gnc) {
  const rubblemap_product *product;
  rubblemap_landing landing;
  rubblemap_fix fix;

  service_publish_body("map.hazard", "body_cut", 0);
  product = take_next(gnc);
  REQUIRE(rubblemap_landing_circles(gnc, product, 2.0, 2, &landing) == RUBBLEMAP_OK);
  REQUIRE(landing.refusal == RUBBLEMAP_REFUSAL_NONE && landing.count == 1 && landing.complete == 1);
  REQUIRE(landing.circles[0].column == 8 && landing.circles[0].row == 10 && landing.circles[0].x == 16.0);
  REQUIRE(landing.circles[0].y == 20.0 && landing.circles[0].radius > 4.0 && landing.circles[0].radius < 10.0);
  REQUIRE(landing.circles[0].worst_probability == 0.25 && landing.circles[0].mean_probability == 0.25);
  REQUIRE(landing.circles[0].worst_entropy == 0.0 && landing.circles[0].worst_x > 0.0);
  REQUIRE(landing.circles[0].worst_y > 0.0 && landing.circles[0].worst_y < 20.0);
  REQUIRE(landing.circles[1].radius == 0.0 && landing.warnings == 1u << 7);
  /* No room is an answer. */
  REQUIRE(rubblemap_landing_circles(gnc, product, 50.0, 2, &landing) == RUBBLEMAP_OK && landing.count == 0);
  REQUIRE(rubblemap_landing_circles(gnc, product, 2.0, 17, &landing) == RUBBLEMAP_REFUSED);
  REQUIRE(landing.refusal == RUBBLEMAP_REFUSAL_INVALID_ARGUMENT && landing.count == 0);
  REQUIRE(strcmp(rubblemap_last_error(gnc), "landing_circles: refused: invalid_argument") == 0);
  REQUIRE(rubblemap_navigation_fix(gnc, product, &fix) == RUBBLEMAP_REFUSED);
  REQUIRE(fix.refusal == RUBBLEMAP_REFUSAL_MALFORMED_INPUT);
  REQUIRE(strstr(rubblemap_last_error(gnc), "expected one of map.navigation, got one of map.hazard") != NULL);
  REQUIRE(rubblemap_landing_circles(gnc, NULL, 2.0, 2, &landing) == RUBBLEMAP_REFUSED);
  rubblemap_release(gnc, product);

  service_publish_body("map.hazard", "high_entropy", 0);
  product = take_next(gnc);
  REQUIRE(rubblemap_landing_circles(gnc, product, 2.0, 2, &landing) == RUBBLEMAP_NOTHING);
  REQUIRE(landing.refusal == RUBBLEMAP_REFUSAL_HIGH_ENTROPY && landing.count == 0 && landing.warnings == 0);
  rubblemap_release(gnc, product);

  REQUIRE(strcmp(rubblemap_flag_name(RUBBLEMAP_FLAGS - 1), "unknown_flag") == 0);
  REQUIRE(strcmp(rubblemap_flag_name(RUBBLEMAP_FLAGS), "") == 0);
  for (int refusal = 0; refusal < RUBBLEMAP_REFUSALS; ++refusal) {
    REQUIRE(strcmp(rubblemap_refusal_name((rubblemap_refusal)refusal), "") != 0);
  }
  REQUIRE(strcmp(rubblemap_refusal_name(RUBBLEMAP_REFUSAL_BODY_SMALL), "body_small") == 0);
  REQUIRE(strcmp(rubblemap_refusal_name((rubblemap_refusal)RUBBLEMAP_REFUSALS), "") == 0);
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
  rubblemap_fix fix;
  rubblemap_landing landing;

  rubblemap_default_options(&options);
  options.products_endpoint = "nonsense";
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED && gnc == NULL);
  REQUIRE(strstr(rubblemap_last_error(NULL), "products socket: cannot connect to nonsense") != NULL);
  options.products_endpoint = "tcp://127.0.0.1:1";
  options.products_keys = "/nowhere";
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "/nowhere/client.key_secret") != NULL);
  options.products_keys = NULL;
  options.topics = 0;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  options.topics = RUBBLEMAP_TOPIC_NAVIGATION | 8u;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED && gnc == NULL);
  REQUIRE(strstr(rubblemap_last_error(NULL), "options.topics: expected RUBBLEMAP_TOPIC_NAVIGATION") != NULL);
  REQUIRE(strstr(rubblemap_last_error(NULL), "got 9") != NULL);
  options.topics = RUBBLEMAP_TOPIC_NAVIGATION | RUBBLEMAP_TOPIC_HAZARD | RUBBLEMAP_TOPIC_FULL;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  rubblemap_close(gnc);
  options.most_entropy = 1.5;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "options.most_entropy: expected 0..1, got 1.5") != NULL);
  options.most_entropy = 0.5;
  options.heartbeat_ms = 600001;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "products socket: heartbeat_ms: expected 0..600000") != NULL);
  options.products_endpoint = NULL;
  options.commands_endpoint = "tcp://127.0.0.1:1";
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "commands socket: heartbeat_ms") != NULL);
  rubblemap_default_options(&options);
  options.frames_endpoint = "tcp://127.0.0.1:1";
  options.max_frames = 1025;
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OPEN_FAILED);
  REQUIRE(strstr(rubblemap_last_error(NULL), "max_frames: expected 1..1024, got 1025") != NULL);
  rubblemap_default_options(&options);
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  REQUIRE(rubblemap_poll(gnc, 0) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(strstr(rubblemap_last_error(gnc), "products_endpoint") != NULL);
  REQUIRE(rubblemap_take(gnc, &product) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_navigation_fix(gnc, NULL, &fix) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_landing_circles(gnc, NULL, 1.0, 1, &landing) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_send_frame(gnc, NULL, NULL) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_send_command(gnc, "no_op", NULL, NULL, 0, 0, NULL) == RUBBLEMAP_NOT_OPENED);
  REQUIRE(rubblemap_poll_reply(gnc, 0, &reply) == RUBBLEMAP_NOT_OPENED);
  rubblemap_close(gnc);
  rubblemap_close(NULL);
}

/* In a forked child every call says so at once, and the parent goes on. */
static void check_fork(rubblemap_gnc *gnc) {
  int status = 0;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    static const uint8_t pixels[16 * 16] = {0};
    rubblemap_frame frame = {0};
    rubblemap_reply reply;
    int right = 1;
    frame.pixels = pixels;
    frame.height = frame.width = 16;
    frame.channels = 1;
    frame.type_bits = 8;
    alarm(5);
    right = right && rubblemap_poll(gnc, 60000) == RUBBLEMAP_REFUSED;
    right = right && strstr(rubblemap_last_error(gnc), "after a fork") != NULL;
    right = right && rubblemap_send_frame(gnc, &frame, NULL) == RUBBLEMAP_REFUSED;
    right = right && rubblemap_send_command(gnc, "no_op", NULL, NULL, 0, 1000, NULL) == RUBBLEMAP_REFUSED;
    right = right && rubblemap_poll_reply(gnc, 60000, &reply) == RUBBLEMAP_REFUSED;
    rubblemap_close(gnc);
    _exit(right ? 0 : 1);
  }
  REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
  static const uint8_t half[2] = {0x00, 0xC2}; /* -3 */
  rubblemap_options options;
  rubblemap_gnc *gnc = NULL;

  check_opening();
  service_start();
  rubblemap_default_options(&options);
  options.products_endpoint = service_endpoint("products");
  options.topics = RUBBLEMAP_TOPIC_NAVIGATION | RUBBLEMAP_TOPIC_HAZARD;
  options.frames_endpoint = service_endpoint("frames");
  options.commands_endpoint = service_endpoint("commands");
  REQUIRE(rubblemap_open(&options, &gnc) == RUBBLEMAP_OK);
  service_wait_for_subscriptions(2);
  check_fork(gnc);
  check_products(gnc);
  check_fix(gnc);
  check_circles(gnc);
  check_frames(gnc);
  check_commands(gnc);
  rubblemap_close(gnc);
  service_stop();
  REQUIRE(rubblemap_half(half) == -3.0f);
  puts("C: received, sent and commanded");
  return 0;
}
