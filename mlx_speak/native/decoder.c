/* One token through a pre-norm decoder on the CPU, all of its layers in one call.
 *
 * Between the products there is so little to do that MLX's dispatching of it takes longer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "lanes.h"
#include "library.h"
#include "pool.h"

/* Numbers of keys up to which a thread attends alone. */
enum { SMALL = 1 << 14 };

typedef struct {
  int heads, dims, length, capacity; /* dims of a head; of (heads, capacity, dims) `length` are there */
  const float *query;                /* (heads, dims) */
  const float *keys, *values;
  const float *key, *value;          /* (heads, dims): one more, or null */
  float *scores;                     /* (heads, length + 1) */
  float *out;                        /* (heads, dims) */
} attention;

static void attend(const void *work, int first, int count) {
  const attention *a = work;
  int dims = a->dims, length = a->length + (a->key != NULL);
  float scale = 1 / sqrtf(dims);
  for (int head = first; head < first + count; head++) {
    size_t at = (size_t)head * dims, cached = at * a->capacity;
    float *scores = a->scores + (size_t)head * (a->length + 1), *out = a->out + at;
    float largest = -INFINITY, total = 0;
    for (int i = 0; i < length; i++) {
      const float *key = i < a->length ? a->keys + cached + (size_t)i * dims : a->key + at;
      scores[i] = scale * dot(dims, a->query + at, key);
      largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int j = 0; j < dims; j++) out[j] = 0;
    for (int i = 0; i < length; i++) {
      const float *value = i < a->length ? a->values + cached + (size_t)i * dims : a->value + at;
      float weight = expf(scores[i] - largest);
      total += weight;
      for (int j = 0; j < dims; j++) out[j] += weight * value[j];
    }
    for (int j = 0; j < dims; j++) out[j] /= total;
  }
}

static void attend_on_threads(const attention *a) {
  int part = (a->heads + 2 * get_threads() - 1) / (2 * get_threads());
  /* Less than it takes to tell another thread stays on this one. */
  share(attend, a, a->heads, (size_t)a->length * a->heads * a->dims < SMALL ? a->heads : part);
}

/* One query's attention to some keys and values, and to one more if it is not null.
 *
 * query, key, value, out: (heads, dims).
 * keys, values: (heads, capacity, dims), of which `length` are there; with `key`, there may be none.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_attend(int heads, int dims, int length, int capacity, const float *query,
                            const float *keys, const float *values, const float *key,
                            const float *value, float *out) {
  float *scores = malloc((size_t)heads * (length + 1) * sizeof *scores);
  if (!scores) return -1;
  attention a = {heads, dims, length, capacity, query, keys, values, key, value, scores, out};
  attend_on_threads(&a);
  free(scores);
  return 0;
}

/* The token's keys or values into the cache. */
static void keep(const attention *a, const float *from, float *cached) {
  for (int head = 0; head < a->heads; head++)
    memcpy(cached + ((size_t)head * a->capacity + a->length) * a->dims,
           from + (size_t)head * a->dims, a->dims * sizeof *from);
}

/* x: (dims,), the token's embedding; becomes its state.
 * cache: (layers, 2, heads, capacity, dims / heads), of which `length` tokens are there; gets one
 * more.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_decoder_step(const layer *layers, int count, int heads, int activation,
                                  float *cache, int capacity, int length, float *x) {
  int width = layers->output.outputs, hidden = layers->up.outputs;
  size_t space = projection_space(1, hidden > width ? &layers->down : &layers->up);
  size_t scores = (size_t)heads * (length + 1);
  size_t values = (size_t)capacity * width;
  float *memory = malloc((space + 5 * width + hidden + scores) * sizeof *memory);
  if (!memory) return -1;
  float *projected = memory + space, *attended = projected + 3 * width, *y = attended + width;
  float *inner = y + width;
  attention a = {.heads = heads, .dims = width / heads, .length = length, .capacity = capacity,
                 .query = projected, .key = projected + width, .value = projected + 2 * width,
                 .scores = inner + hidden, .out = attended};
  for (const layer *l = layers; l < layers + count; l++, cache += 2 * values) {
    project(&l->query_key_value, 1, x, &l->attention_norm, IDENTITY, NULL, projected, memory);
    a.keys = cache;
    a.values = cache + values;
    attend_on_threads(&a);
    keep(&a, a.key, cache);
    keep(&a, a.value, cache + values);
    project(&l->output, 1, attended, NULL, IDENTITY, x, y, memory);
    project(&l->up, 1, y, &l->feed_forward_norm, activation, NULL, inner, memory);
    project(&l->down, 1, inner, NULL, IDENTITY, y, x, memory);
  }
  free(memory);
  return 0;
}
