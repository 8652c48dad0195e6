/* The C face of Rubblemap's client library: receive map products, send frames, send commands.
 *
 * For flight software that is called at its own pace (cFS, F Prime): no call waits longer than it is told to, all
 * memory is set aside by rubblemap_open, no exception leaves the library, and it has no thread but libzmq's two (I/O
 * and reaper). A handle is for use from one thread at a time; two handles do not know of each other.
 *
 *   rubblemap_options options;
 *   rubblemap_default_options(&options);
 *   options.products_endpoint = "tcp://127.0.0.1:5602";
 *   rubblemap_gnc *gnc = NULL;
 *   if (rubblemap_open(&options, &gnc) != RUBBLEMAP_OK) { puts(rubblemap_last_error(gnc)); ... }
 *   if (rubblemap_poll(gnc, 100) == RUBBLEMAP_OK) {
 *     const rubblemap_product *product = NULL;
 *     while (rubblemap_take(gnc, &product) == RUBBLEMAP_OK) { ...; rubblemap_release(gnc, product); }
 *   }
 *   rubblemap_close(gnc);
 */
#ifndef RUBBLEMAP_GNC_H
#define RUBBLEMAP_GNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  RUBBLEMAP_MOST_FLAGS = 32,
  RUBBLEMAP_MOST_CLASSES = 64,
  RUBBLEMAP_MOST_PLANES = 8,
  RUBBLEMAP_TOPICS = 3,
  RUBBLEMAP_REASONS = 9
};

/* 0: done. 1 to 9: not now. Below 0: a mistake of the caller or of the set-up; rubblemap_last_error says more. */
typedef enum rubblemap_code {
  RUBBLEMAP_OK = 0,
  RUBBLEMAP_NOTHING = 1,   /* nothing came in time; no such product or value */
  RUBBLEMAP_NOT_TAKEN = 2, /* nobody there to take it, or more than it takes; or as many products are held as may be */
  RUBBLEMAP_TIMED_OUT = 3, /* no reply to the command in its time */
  RUBBLEMAP_REFUSED = -1,  /* a frame, command or argument that breaks the contract */
  RUBBLEMAP_NOT_OPENED = -2,  /* the handle was opened without this endpoint */
  RUBBLEMAP_OPEN_FAILED = -3, /* an option, endpoint or key file */
  RUBBLEMAP_NO_MEMORY = -4
} rubblemap_code;

typedef enum rubblemap_topic { RUBBLEMAP_NAVIGATION = 0, RUBBLEMAP_HAZARD = 1, RUBBLEMAP_FULL = 2 } rubblemap_topic;
typedef enum rubblemap_status {
  RUBBLEMAP_VALID = 0,
  RUBBLEMAP_DEGRADED = 1,
  RUBBLEMAP_INVALID = 2
} rubblemap_status;
typedef enum rubblemap_dtype { RUBBLEMAP_U8 = 0, RUBBLEMAP_F16 = 1 } rubblemap_dtype;
typedef enum rubblemap_role {
  RUBBLEMAP_BACKGROUND = 0,
  RUBBLEMAP_SAFE = 1,
  RUBBLEMAP_HAZARDOUS = 2,
  RUBBLEMAP_TERMINATOR = 3
} rubblemap_role;

/* Why a product was refused; the index into rubblemap_statistics.malformed. */
typedef enum rubblemap_reason {
  RUBBLEMAP_WRONG_PARTS = 0,
  RUBBLEMAP_OVERSIZED_PART = 1,
  RUBBLEMAP_MALFORMED_HEADER = 2,
  RUBBLEMAP_UNKNOWN_SCHEMA = 3,
  RUBBLEMAP_INVALID_FIELD = 4,
  RUBBLEMAP_TOPIC_MISMATCH = 5,
  RUBBLEMAP_WRONG_PLANES = 6,
  RUBBLEMAP_SIZE_MISMATCH = 7,
  RUBBLEMAP_CRC_MISMATCH = 8
} rubblemap_reason;

/* Row-major; bytes: valid until the product is released. shape: (H, W), or (K, H, W) with dimensions = 3. f16: IEEE 754
 * binary16, little-endian; rubblemap_half widens one. */
typedef struct rubblemap_plane {
  char name[33];
  char units[17];
  rubblemap_dtype dtype;
  uint32_t dimensions;
  uint32_t shape[3];
  const uint8_t *bytes;
  size_t size;
} rubblemap_plane;

typedef struct rubblemap_class {
  uint32_t index;
  rubblemap_role role;
  char name[33];
} rubblemap_class;

/* A verified product. Times in nanoseconds, milliseconds in timing_ms (queue, center, passes, fuse, publish).
 * map_to_sensor: sensor x = [0] u + [1] v + [2], y = [3] u + [4] v + [5], pixel centres at integers. planes: none when
 * the status is invalid. Texts are UTF-8 with a terminating zero. */
typedef struct rubblemap_product {
  rubblemap_topic topic;
  rubblemap_status status;
  uint64_t sequence;
  uint32_t epoch;
  uint64_t frame_id;
  uint64_t capture_time_ns;
  uint64_t received_time_ns;
  uint64_t published_time_ns;
  uint64_t seed;
  double gamma;
  double uncertainty_threshold;
  double map_to_sensor[6];
  double timing_ms[5];
  uint32_t passes_requested;
  uint32_t passes_used;
  uint32_t flag_count;
  uint32_t class_count;
  uint32_t plane_count;
  char source[33];
  char mode[33];
  char bundle_name[65];
  char bundle_version[33];
  char bundle_sha256[65];
  char flags[RUBBLEMAP_MOST_FLAGS][65];
  rubblemap_class classes[RUBBLEMAP_MOST_CLASSES];
  rubblemap_plane planes[RUBBLEMAP_MOST_PLANES];
} rubblemap_product;

/* An endpoint of NULL: that part is not opened. keys: a client's folder, or NULL. Texts are read by rubblemap_open
 * only. */
typedef struct rubblemap_options {
  const char *products_endpoint;
  const char *products_keys;
  uint32_t topics;      /* bits: 1u << RUBBLEMAP_NAVIGATION | ... */
  uint32_t max_height;  /* of a map, pixels; memory is set aside for it */
  uint32_t max_width;
  uint32_t max_classes; /* of map.full */
  uint32_t max_taken;   /* products that are held at the same time */
  int queue;            /* products that libzmq keeps for a caller that does not poll */
  int heartbeat_ms;     /* a service that is silent for three of these is connected to anew; 0: never */

  const char *frames_endpoint;
  const char *frames_keys;
  const char *source;      /* the camera's name */
  int has_epoch;           /* 0: seconds since 1970 */
  uint32_t epoch;          /* the camera's boot count */
  size_t max_pixel_bytes;  /* of one frame; set aside max_frames times */
  uint32_t max_frames;     /* on their way at the same time */
  int linger_ms;           /* how long closing may take, to send what waits */

  const char *commands_endpoint;
  const char *commands_keys;
} rubblemap_options;

/* Pixels: row-major, (height, width) or (height, width, 3) with channels = 3; 8 or 16 bits as type_bits says, 16 in the
 * processor's byte order. */
typedef struct rubblemap_frame {
  const void *pixels;
  uint32_t height;
  uint32_t width;
  uint32_t channels;
  uint32_t type_bits;
  uint32_t bit_depth; /* significant bits; 0: all */
  size_t row_bytes;   /* from a row to the next one; 0: rows without gaps */
  uint64_t capture_time_ns;
  int centered;
  int has_exposure_s;
  double exposure_s;
  int has_range_km;
  double range_km;
  int has_sun_direction_camera;
  double sun_direction_camera[3];
} rubblemap_frame;

typedef enum rubblemap_value_type {
  RUBBLEMAP_NIL = 0,
  RUBBLEMAP_BOOLEAN = 1,  /* boolean */
  RUBBLEMAP_WHOLE = 2,    /* whole: an integer from 0 on */
  RUBBLEMAP_NEGATIVE = 3, /* negative: an integer below 0 */
  RUBBLEMAP_REAL = 4,     /* real */
  RUBBLEMAP_TEXT = 5,     /* text, text_size */
  RUBBLEMAP_LIST = 6,     /* in results only; text_size: items */
  RUBBLEMAP_MAP = 7       /* in results only; text_size: pairs */
} rubblemap_value_type;

/* text: text_size bytes of UTF-8, in arguments also text_size = 0 with a terminating zero. */
typedef struct rubblemap_value {
  rubblemap_value_type type;
  int boolean;
  uint64_t whole;
  int64_t negative;
  double real;
  const char *text;
  size_t text_size;
} rubblemap_value;

typedef struct rubblemap_argument {
  const char *name;
  rubblemap_value value;
} rubblemap_argument;

typedef enum rubblemap_reply_status {
  RUBBLEMAP_COMPLETED = 0,
  RUBBLEMAP_REJECTED = 1,
  RUBBLEMAP_FAILED = 2
} rubblemap_reply_status;

typedef struct rubblemap_reply {
  uint64_t id;
  rubblemap_reply_status status;
  char code[65];
  char message[1025];
} rubblemap_reply;

typedef struct rubblemap_topic_statistics {
  uint64_t received; /* verified */
  uint64_t lost;     /* gaps in the sequence, malformed products among them */
  uint64_t skipped;  /* verified, but replaced by a newer one before it was taken */
  uint64_t restarts; /* the sequence began anew: so did the service */
} rubblemap_topic_statistics;

typedef struct rubblemap_statistics {
  rubblemap_topic_statistics topics[RUBBLEMAP_TOPICS]; /* by rubblemap_topic */
  uint64_t malformed[RUBBLEMAP_REASONS];               /* by rubblemap_reason; never handed over */
  uint64_t products_not_taken;                         /* rubblemap_take while max_taken were held */
  uint64_t frames_sent;
  uint64_t frames_not_taken;
  uint64_t commands_sent;
  uint64_t replies;
  uint64_t replies_timed_out;
  uint64_t replies_late;
  uint64_t replies_malformed;
} rubblemap_statistics;

typedef struct rubblemap_gnc rubblemap_gnc;

/* The defaults: navigation products of maps up to 256 x 256 px; frames of 4 MiB; every endpoint NULL. */
void rubblemap_default_options(rubblemap_options *options);

/* Opens what has an endpoint. On failure *gnc is NULL, and rubblemap_last_error(NULL) says why. */
rubblemap_code rubblemap_open(const rubblemap_options *options, rubblemap_gnc **gnc);

/* NULL is ignored. Takes at most linger_ms; products that are held, and their planes, end with it. */
void rubblemap_close(rubblemap_gnc *gnc);

/* Takes in all products that have come; waits for one at most timeout_ms unless there is one. OK when there is a
 * product to take, or NOTHING. After several products at once it waits up to 2 ms longer for those behind them. */
rubblemap_code rubblemap_poll(rubblemap_gnc *gnc, int timeout_ms);

/* The newest product of a topic, or of all topics the one that has waited longest. It is the caller's until released.
 * OK, NOTHING, or NOT_TAKEN when max_taken are held. */
rubblemap_code rubblemap_take_topic(rubblemap_gnc *gnc, rubblemap_topic topic, const rubblemap_product **product);
rubblemap_code rubblemap_take(rubblemap_gnc *gnc, const rubblemap_product **product);
void rubblemap_release(rubblemap_gnc *gnc, const rubblemap_product *product);

/* The plane of this name, or NULL. */
const rubblemap_plane *rubblemap_find_plane(const rubblemap_product *product, const char *name);

/* Sends a frame without waiting; OK, NOT_TAKEN or REFUSED. frame_id: its number, or NULL. */
rubblemap_code rubblemap_send_frame(rubblemap_gnc *gnc, const rubblemap_frame *frame, uint64_t *frame_id);

/* Sends a command without waiting; OK, NOT_TAKEN or REFUSED. inside: the name of a map to put the arguments into
 * ("values" of set_parameters), or NULL. timeout_ms: for the reply. id: of the command. At most 16 are under way. */
rubblemap_code rubblemap_send_command(rubblemap_gnc *gnc, const char *name, const char *inside,
                                      const rubblemap_argument *arguments, size_t count, int timeout_ms, uint64_t *id);

/* The next reply; waits for it at most timeout_ms. OK, NOTHING, or TIMED_OUT with reply->id of the command. */
rubblemap_code rubblemap_poll_reply(rubblemap_gnc *gnc, int timeout_ms, rubblemap_reply *reply);

/* A value of the last reply's result, by keys with dots between them: "counters.frames_received". OK or NOTHING.
 * A text is valid until the next rubblemap_poll_reply. */
rubblemap_code rubblemap_result(const rubblemap_gnc *gnc, const char *path, rubblemap_value *value);

void rubblemap_get_statistics(const rubblemap_gnc *gnc, rubblemap_statistics *statistics);

/* One line on the last call that failed, of this handle, or with NULL of rubblemap_open in this thread. */
const char *rubblemap_last_error(const rubblemap_gnc *gnc);

/* One line on the last product that was refused; empty before there was one. */
const char *rubblemap_last_malformed(const rubblemap_gnc *gnc);

/* "oversized_part" and so on. */
const char *rubblemap_reason_name(rubblemap_reason reason);

/* The value of one binary16 number, little-endian, at `bytes`. */
float rubblemap_half(const uint8_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
