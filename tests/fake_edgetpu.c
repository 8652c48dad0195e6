/* A stand-in for libedgetpu.so.1: a delegate of TensorFlow Lite that takes operators called edgetpu-custom-op, each of
 * which copies its input to its output. The structures are the first fields of those in TensorFlow's common.h, which
 * keep their places. With FAKE_EDGETPU=none there is no device. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR_BYTES 112 /* sizeof(TfLiteTensor) */

typedef struct {
  int size;
  int data[];
} IntArray;
typedef struct {
  int type;
  char *data;
  IntArray *dims;
  float scale;
  int32_t zero_point;
  int allocation;
  size_t bytes;
} Tensor;
typedef struct Context Context;
typedef struct {
  IntArray *inputs, *outputs;
} Node;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*release)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async;
  uint64_t inplace;
} Registration;
typedef struct {
  void *data;
  int (*prepare)(Context *, void *);
  void *copy_from, *copy_to, *release;
  int64_t flags;
  void *opaque;
} Delegate;
struct Context {
  size_t tensors_size;
  int (*get_plan)(Context *, IntArray **);
  char *tensors;
  void *impl;
  void *resize, *report, *add;
  int (*get_node)(Context *, int, Node **, Registration **);
  int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};

static int prepare_nothing(Context *context, Node *node) {
  (void)context;
  (void)node;
  return 0;
}

static Tensor *tensor_of(Context *context, int index) { return (Tensor *)(context->tensors + index * TENSOR_BYTES); }

static int copy(Context *context, Node *node) {
  Tensor *input = tensor_of(context, node->inputs->data[0]), *output = tensor_of(context, node->outputs->data[0]);
  memcpy(output->data, input->data, output->bytes);
  return 0;
}

static int take(Context *context, void *delegate) {
  IntArray *plan;
  if (context->get_plan(context, &plan)) return 1;
  IntArray *taken = malloc(sizeof(int) * (plan->size + 1));
  taken->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->get_node(context, plan->data[i], &node, &registration)) return 1;
    if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
      taken->data[taken->size++] = plan->data[i];
  }
  Registration ours = {0};
  ours.prepare = prepare_nothing;
  ours.invoke = copy;
  ours.custom_name = "fake";
  ours.version = 1;
  int status = context->replace(context, ours, taken, delegate);
  free(taken);
  return status;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  (void)keys;
  (void)values;
  (void)count;
  const char *device = getenv("FAKE_EDGETPU");
  if (device && !strcmp(device, "none")) {
    report("no device");
    return NULL;
  }
  Delegate *delegate = calloc(1, 256);
  delegate->prepare = take;
  delegate->flags = 1; /* tensors may be dynamic: operators are not prepared before they are taken */
  return delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
