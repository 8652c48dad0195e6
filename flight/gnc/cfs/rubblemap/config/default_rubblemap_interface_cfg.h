/* Sizes in the app's messages and table, the table's file, and the performance log's identifier. Sizes of texts count
 * the terminating zero; with multiples of eight no structure has gaps. */
#ifndef DEFAULT_RUBBLEMAP_INTERFACE_CFG_H
#define DEFAULT_RUBBLEMAP_INTERFACE_CFG_H

#define RUBBLEMAP_MOST_SITES 3         /* landing circles in a message: 1..RUBBLEMAP_MOST_CIRCLES */
#define RUBBLEMAP_SOURCE_SIZE 40       /* of a camera's name, which has 32 characters at most */
#define RUBBLEMAP_WORD_SIZE 40         /* of a parameter's name or value, or a mode, in commands */
#define RUBBLEMAP_BUNDLE_PATH_SIZE 256 /* in a command */
#define RUBBLEMAP_ENDPOINT_SIZE 128    /* of an endpoint, or of a path of a folder of keys, in the table */

#define RUBBLEMAP_CONFIG_FILE "/cf/rubblemap_cfg.tbl"

#define RUBBLEMAP_PIPE_DEPTH 16
#define RUBBLEMAP_PERF_ID 0x5B

#endif
