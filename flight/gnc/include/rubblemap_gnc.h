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

/* Sizes of the arrays below. MOST_: a product or an answer may have fewer, and counts them. */
enum {
  RUBBLEMAP_MOST_FLAGS = 32,
  RUBBLEMAP_MOST_CLASSES = 64,
  RUBBLEMAP_MOST_PLANES = 8,
  RUBBLEMAP_TOPICS = 3,
  RUBBLEMAP_REASONS = 9,
  RUBBLEMAP_FLAGS = 16,
  RUBBLEMAP_REFUSALS = 15,
  RUBBLEMAP_MOST_CIRCLES = 16
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

/* Which planes a product has; docs/icd.md lists them. */
typedef enum rubblemap_topic {
  RUBBLEMAP_NAVIGATION = 0, /* map.navigation */
  RUBBLEMAP_HAZARD = 1,     /* map.hazard */
  RUBBLEMAP_FULL = 2        /* map.full, which the service sends on request only */
} rubblemap_topic;

/* For rubblemap_options.topics, joined by |: the bit of each rubblemap_topic. */
typedef enum rubblemap_topic_bit {
  RUBBLEMAP_TOPIC_NAVIGATION = 1,
  RUBBLEMAP_TOPIC_HAZARD = 2,
  RUBBLEMAP_TOPIC_FULL = 4
} rubblemap_topic_bit;

/* The worst that the product's flags ask for. */
typedef enum rubblemap_status {
  RUBBLEMAP_VALID = 0,
  RUBBLEMAP_DEGRADED = 1, /* to be used with care: see the flags */
  RUBBLEMAP_INVALID = 2   /* without planes */
} rubblemap_status;

/* What a plane's pixel is. */
typedef enum rubblemap_dtype {
  RUBBLEMAP_U8 = 0, /* one byte */
  RUBBLEMAP_F16 = 1 /* two: IEEE 754 binary16, little-endian; rubblemap_half widens one */
} rubblemap_dtype;

/* What a class means to a consumer. */
typedef enum rubblemap_role {
  RUBBLEMAP_BACKGROUND = 0, /* sky */
  RUBBLEMAP_SAFE = 1,       /* ground to land on */
  RUBBLEMAP_HAZARDOUS = 2,  /* ground not to land on */
  RUBBLEMAP_TERMINATOR = 3  /* where day meets night */
} rubblemap_role;

/* Why a product was rejected as malformed; the index into rubblemap_statistics.malformed. */
typedef enum rubblemap_reason {
  RUBBLEMAP_WRONG_PARTS = 0,      /* not 2 to 10 message parts */
  RUBBLEMAP_OVERSIZED_PART = 1,   /* beyond what was set aside, or beyond max_height, max_width or max_classes */
  RUBBLEMAP_MALFORMED_HEADER = 2, /* the header is no msgpack map within the limits */
  RUBBLEMAP_UNKNOWN_SCHEMA = 3,   /* the schema number is not 1 */
  RUBBLEMAP_INVALID_FIELD = 4,    /* a header field is missing, of the wrong type or out of range */
  RUBBLEMAP_TOPIC_MISMATCH = 5,   /* header and first part name different topics */
  RUBBLEMAP_WRONG_PLANES = 6,     /* not those of the topic, not as many as parts came, or of different sizes */
  RUBBLEMAP_SIZE_MISMATCH = 7,    /* a plane has not the bytes of its shape and dtype */
  RUBBLEMAP_CRC_MISMATCH = 8      /* a plane's CRC-32 differs from the header's */
} rubblemap_reason;

/* Pixels row by row. */
typedef struct rubblemap_plane {
  char name[33];  /* "clearance" and so on, as docs/icd.md names them */
  char units[17]; /* "nat" and so on; "1" for a number without unit */
  rubblemap_dtype dtype;
  uint32_t dimensions;  /* 2 or 3 */
  uint32_t shape[3];    /* H, W, 0; with 3 dimensions K, H, W: a layer for each class */
  const uint8_t *bytes; /* valid until the product is released */
  size_t size;          /* how many bytes */
} rubblemap_plane;

typedef struct rubblemap_class {
  uint32_t index; /* what stands for it in the planes: its place in rubblemap_product.classes */
  rubblemap_role role;
  char name[33];
} rubblemap_class;

/* A verified product. Times in nanoseconds. Texts are UTF-8 with a terminating zero. */
typedef struct rubblemap_product {
  rubblemap_topic topic;
  rubblemap_status status;
  uint64_t sequence;
  uint32_t epoch;
  uint64_t frame_id;
  uint64_t capture_time_ns;
  uint64_t received_time_ns;
  uint64_t published_time_ns;
  uint64_t seed; /* of the dropout masks */
  double gamma;
  double uncertainty_threshold;
  double map_to_sensor[6]; /* sensor x = [0] u + [1] v + [2], y = [3] u + [4] v + [5], pixel centres at integers */
  double timing_ms[5];     /* queue, center, passes, fuse, publish */
  uint32_t passes_requested;
  uint32_t passes_used;
  uint32_t flag_count; /* entries of flags, of classes and of planes; without planes when the status is invalid */
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
  uint32_t topics;      /* RUBBLEMAP_TOPIC_NAVIGATION | ...: at least one, and no other bit */
  uint32_t max_height;  /* of a map, pixels; memory is set aside for it, for the consumers 34 bytes a pixel */
  uint32_t max_width;   /* products beyond these three are rejected as oversized_part */
  uint32_t max_classes; /* as many layers has map.full */
  uint32_t max_taken;   /* products that are held at the same time */
  int queue;            /* products that libzmq keeps for a caller that does not poll */
  int heartbeat_ms;     /* of all endpoints, 0..600000: a service that is silent for three of these is connected to
                           anew, and gets no frames and commands until then; 0: never */
  double most_hazard_probability; /* of any map pixel that a landing circle touches, 0..1 */
  double most_entropy;            /* likewise: predictive entropy over ln(class_count), 0..1 */

  const char *frames_endpoint;
  const char *frames_keys;
  const char *source;     /* the camera's name */
  int has_epoch;          /* 0: seconds since 1970, or more where a camera of this name has had as many here before */
  uint32_t epoch;         /* the camera's boot count */
  size_t max_pixel_bytes; /* of one frame; set aside max_frames times */
  uint32_t max_frames;    /* on their way at the same time; 1..1024 */
  int linger_ms;          /* how long closing may take, to send what waits; 0..60000 */

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

/* Which member of a rubblemap_value holds it. */
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

/* An argument of a command, by its name. */
typedef struct rubblemap_argument {
  const char *name;
  rubblemap_value value;
} rubblemap_argument;

/* What became of a command. */
typedef enum rubblemap_reply_status {
  RUBBLEMAP_COMPLETED = 0,
  RUBBLEMAP_REJECTED = 1, /* it changed nothing */
  RUBBLEMAP_FAILED = 2    /* while it was carried out */
} rubblemap_reply_status;

typedef struct rubblemap_reply {
  uint64_t id; /* of the command */
  rubblemap_reply_status status;
  char code[65];      /* "ok", "busy" and so on: docs/icd.md lists them */
  char message[1025]; /* for people */
} rubblemap_reply;

/* Since opening. */
typedef struct rubblemap_topic_statistics {
  uint64_t received; /* verified */
  uint64_t lost;     /* gaps in the sequence, malformed products among them */
  uint64_t skipped;  /* verified, but replaced by a newer one before it was taken */
  uint64_t restarts; /* the sequence went back, or ahead by more than 1000000: the service began anew */
} rubblemap_topic_statistics;

typedef struct rubblemap_statistics {
  rubblemap_topic_statistics topics[RUBBLEMAP_TOPICS]; /* by rubblemap_topic */
  uint64_t malformed[RUBBLEMAP_REASONS];               /* by rubblemap_reason; never handed over */
  uint64_t products_not_taken;                         /* rubblemap_take while max_taken were held */
  uint64_t frames_sent;
  uint64_t frames_not_taken;
  uint64_t commands_sent;
  uint64_t replies;           /* that were handed over */
  uint64_t replies_timed_out; /* commands without a reply in their time */
  uint64_t replies_late;      /* after the time-out, or to no command of this handle */
  uint64_t replies_malformed; /* that break the contract; never handed over */
} rubblemap_statistics;

/* Why there is no fix, or no landing circle. */
typedef enum rubblemap_refusal {
  RUBBLEMAP_REFUSAL_NONE = 0,            /* there is one */
  RUBBLEMAP_REFUSAL_INVALID_PRODUCT = 1, /* of status invalid */
  RUBBLEMAP_REFUSAL_BODY_NOT_FOUND = 2,  /* this and the three below: the product's flag of that name */
  RUBBLEMAP_REFUSAL_DARK = 3,
  RUBBLEMAP_REFUSAL_EMPTY_SKY = 4,
  RUBBLEMAP_REFUSAL_HIGH_ENTROPY = 5,      /* of landing circles only */
  RUBBLEMAP_REFUSAL_NO_BODY = 6,           /* the map shows none */
  RUBBLEMAP_REFUSAL_NO_CERTAINTY = 7,      /* the entropy is at its largest on all of the body */
  RUBBLEMAP_REFUSAL_DEGENERATE_AFFINE = 8, /* map_to_sensor cannot be inverted */
  RUBBLEMAP_REFUSAL_MALFORMED_INPUT = 9,   /* of another topic; this and those below are the caller's doing */
  RUBBLEMAP_REFUSAL_MAP_TOO_LARGE = 10,    /* never of a product that was taken */
  RUBBLEMAP_REFUSAL_INVALID_ARGUMENT = 11, /* out of range; or a product that is not held */
  RUBBLEMAP_REFUSAL_NOT_A_BODY = 12,       /* this and those below: the product's flag of that name */
  RUBBLEMAP_REFUSAL_SATURATED = 13,        /* of landing circles only */
  RUBBLEMAP_REFUSAL_BODY_SMALL = 14        /* of landing circles only */
} rubblemap_refusal;

/* What of the map tells where the sun is. */
typedef enum rubblemap_sun_source {
  RUBBLEMAP_SUN_NONE = 0,      /* it shows no terminator; the other sun_ values are 0 */
  RUBBLEMAP_SUN_ENTROPY = 1,   /* the networks are sure of the lit side */
  RUBBLEMAP_SUN_TERMINATOR = 2 /* the line that the terminator lies along */
} rubblemap_sun_source;

/* The largest body of a navigation map, in sensor pixels (px): pixel centres at integers, x to the right, y down.
 * Angles from x towards y. With a refusal, everything else is 0. docs/gnc.md states the equations. */
typedef struct rubblemap_fix {
  rubblemap_refusal refusal;
  double x; /* px: centroid of the body's probability */
  double y;
  double covariance_xx; /* px^2: of that centroid's error against the outline's */
  double covariance_xy;
  double covariance_yy;
  double area;       /* px^2 */
  double diameter;   /* px: of the disc of that area */
  double major_axis; /* px: full lengths of the ellipse of the same second moments */
  double minor_axis;
  double major_angle_deg; /* degrees, -90..90 */
  uint32_t body_pixels;   /* map pixels: of the body, of its terminator, of the body on the map's border */
  uint32_t terminator_pixels;
  uint32_t edge_pixels; /* of the body, on the edge of what was seen; above 0, the map may not show all of it */
  rubblemap_sun_source sun_source;
  double sun_x; /* unit vector towards the sun, seen in the image */
  double sun_y;
  double sun_angle_deg; /* degrees, -180..180 */
  double sun_strength;  /* the distance that gave the direction, over the body's radius */
  int sun_sign_known;   /* 0: the opposite direction may be the true one */
  uint32_t warnings;    /* bit i: the product has the flag rubblemap_flag_name(i) */
} rubblemap_fix;

/* A disc of certain, safe ground, in sensor pixels as above. */
typedef struct rubblemap_circle {
  double x; /* px: centre */
  double y;
  double radius;   /* px: in the direction in which the map's affine stretches least */
  uint32_t column; /* map pixel in the centre */
  uint32_t row;
  double worst_probability; /* 0..1: the largest hazard probability of the map pixels that the disc touches */
  double worst_x;           /* px: where that is */
  double worst_y;
  double worst_entropy;    /* nats: predictive entropy there */
  double mean_probability; /* 0..1: over the same map pixels */
} rubblemap_circle;

/* Circles of a hazard map, the largest first, none overlapping another. With a refusal, everything else is 0. */
typedef struct rubblemap_landing {
  rubblemap_refusal refusal;
  uint32_t count; /* of circles; the entries behind are 0 */
  rubblemap_circle circles[RUBBLEMAP_MOST_CIRCLES];
  uint32_t dropped;  /* candidates whose clearance promised room that the map and the limits do not allow */
  int complete;      /* 0: the search reached its bound; the circles found until then hold */
  uint32_t warnings; /* as in rubblemap_fix */
} rubblemap_landing;

/* What was opened, and its memory. */
typedef struct rubblemap_gnc rubblemap_gnc;

/* The defaults: navigation products of maps up to 256 x 256 px; frames of 4 MiB; every endpoint NULL. */
void rubblemap_default_options(rubblemap_options *options);

/* Opens what has an endpoint. On failure *gnc is NULL, and rubblemap_last_error(NULL) says why. */
rubblemap_code rubblemap_open(const rubblemap_options *options, rubblemap_gnc **gnc);

/* NULL is ignored. Takes at most linger_ms; products that are held, and their planes, end with it. */
void rubblemap_close(rubblemap_gnc *gnc);

/* Takes in all products that have come; waits for one at most timeout_ms unless there is one. OK when there is a
 * product to take, or NOTHING. After several products at once it goes on for those behind them: at most 2 ms more after
 * a backlog, however many keep coming. Judges at most `queue` + 256 products in a row. In a child that was forked after
 * opening this, sending and polling replies are REFUSED, at once. */
rubblemap_code rubblemap_poll(rubblemap_gnc *gnc, int timeout_ms);

/* The newest product of a topic, or of all topics the one that has waited longest. It is the caller's until released.
 * OK, NOTHING, or NOT_TAKEN when max_taken are held. */
rubblemap_code rubblemap_take_topic(rubblemap_gnc *gnc, rubblemap_topic topic, const rubblemap_product **product);
rubblemap_code rubblemap_take(rubblemap_gnc *gnc, const rubblemap_product **product);
void rubblemap_release(rubblemap_gnc *gnc, const rubblemap_product *product);

/* The plane of this name, or NULL. */
const rubblemap_plane *rubblemap_find_plane(const rubblemap_product *product, const char *name);

/* A navigation fix from a product of map.navigation that is held: taken from this handle and not yet released. OK;
 * NOTHING when the map allows none, and fix->refusal says why; REFUSED for a product of another topic or one that is
 * not held. */
rubblemap_code rubblemap_navigation_fix(rubblemap_gnc *gnc, const rubblemap_product *product, rubblemap_fix *fix);

/* Up to `count` (1..RUBBLEMAP_MOST_CIRCLES) circles of at least minimum_radius_px sensor pixels, from a product of
 * map.hazard; otherwise as rubblemap_navigation_fix. OK also when the map has no room: landing->count is 0 then. */
rubblemap_code rubblemap_landing_circles(rubblemap_gnc *gnc, const rubblemap_product *product, double minimum_radius_px,
                                         uint32_t count, rubblemap_landing *landing);

/* Sends a frame without waiting; OK, NOT_TAKEN or REFUSED. frame_id: its number, or NULL. OK: handed over to libzmq; a
 * service that fell silent within the last four heartbeats may get it late. */
rubblemap_code rubblemap_send_frame(rubblemap_gnc *gnc, const rubblemap_frame *frame, uint64_t *frame_id);

/* Sends a command without waiting; OK, NOT_TAKEN or REFUSED. OK: handed over to libzmq; a service that fell silent
 * within the last four heartbeats may carry it out late. NOT_TAKEN: it will never be carried out. inside: the name of
 * a map to put the arguments into ("values" of set_parameters), or NULL. timeout_ms: for the reply. id: of the command,
 * or NULL. At most 16 are under way. */
rubblemap_code rubblemap_send_command(rubblemap_gnc *gnc, const char *name, const char *inside,
                                      const rubblemap_argument *arguments, size_t count, int timeout_ms, uint64_t *id);

/* The next reply; waits for it at most timeout_ms, and reads at most 64 messages after that. OK, NOTHING, or TIMED_OUT
 * with reply->id of the command. */
rubblemap_code rubblemap_poll_reply(rubblemap_gnc *gnc, int timeout_ms, rubblemap_reply *reply);

/* A value of the last reply's result, by keys with dots between them: "counters.frames_received". OK or NOTHING.
 * A text is valid until the next rubblemap_poll_reply. */
rubblemap_code rubblemap_result(const rubblemap_gnc *gnc, const char *path, rubblemap_value *value);

void rubblemap_get_statistics(const rubblemap_gnc *gnc, rubblemap_statistics *statistics);

/* One line on the last call that failed, of this handle, or with NULL of rubblemap_open in this thread. */
const char *rubblemap_last_error(const rubblemap_gnc *gnc);

/* One line on the last product that was rejected; empty before there was one. */
const char *rubblemap_last_malformed(const rubblemap_gnc *gnc);

/* "oversized_part" and so on. */
const char *rubblemap_reason_name(rubblemap_reason reason);

/* "body_not_found" and so on; "none". */
const char *rubblemap_refusal_name(rubblemap_refusal refusal);

/* The product flag of bit 1u << index in `warnings`, index below RUBBLEMAP_FLAGS: "deadline" and so on. */
const char *rubblemap_flag_name(uint32_t index);

/* The value of one binary16 number, little-endian, at `bytes`. */
float rubblemap_half(const uint8_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
