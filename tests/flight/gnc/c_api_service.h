/* A pretended service for the C test. */
#ifndef C_API_SERVICE_H
#define C_API_SERVICE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Binds all sockets and answers one command, sends products as they are asked for, takes frames. */
void service_start(void);
const char *service_endpoint(const char *name); /* products, frames, commands */
void service_wait_for_subscriptions(int count);
void service_publish(const char *topic, uint64_t sequence, int damaged);
/* A disc of 81 pixels of safe ground around (8, 10) of the map, which is (16, 20) of the sensor; with 27 pixels of
 * terminator to the right of that, or none. flag: of the product, or "". */
void service_publish_body(const char *topic, const char *flag, int terminator);
void service_answer(void);
uint64_t service_take_frame(void); /* the bytes of its pixels */
void service_stop(void);

#ifdef __cplusplus
}
#endif

#endif
