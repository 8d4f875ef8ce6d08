/* One token through a pre-norm decoder on the CPU, all of its layers in one call.
 *
 * Between the products there is so little to do that MLX's dispatching of it takes longer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"
#include "library.h"
#include "pool.h"
#include "projection.h"

typedef struct {
  norm attention_norm;
  linear query_key_value, output;
  norm feed_forward_norm;
  linear up, down;
} layer;

typedef struct {
  int heads, dims, length, capacity; /* dims of a head; tokens before this one */
  const float *query_key_value;
  float *keys, *values; /* (heads, capacity, dims), to which this token's are added */
  float *scores;        /* (heads, capacity) */
  float *out;
} attention;

static void attend(const void *work, int first, int count) {
  const attention *a = work;
  int dims = a->dims, width = a->heads * dims;
  for (int head = first; head < first + count; head++) {
    const float *query = a->query_key_value + (size_t)head * dims;
    float *keys = a->keys + (size_t)head * a->capacity * dims;
    float *values = a->values + (size_t)head * a->capacity * dims;
    float *scores = a->scores + (size_t)head * a->capacity, *out = a->out + (size_t)head * dims;
    memcpy(keys + (size_t)a->length * dims, query + width, dims * sizeof *keys);
    memcpy(values + (size_t)a->length * dims, query + 2 * width, dims * sizeof *values);
    float largest = -INFINITY, total = 0, scale = 1 / sqrtf(dims);
    for (int i = 0; i <= a->length; i++) {
      scores[i] = scale * dot(dims, query, keys + (size_t)i * dims);
      largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int j = 0; j < dims; j++) out[j] = 0;
    for (int i = 0; i <= a->length; i++) {
      float weight = expf(scores[i] - largest);
      total += weight;
      for (int j = 0; j < dims; j++) out[j] += weight * values[(size_t)i * dims + j];
    }
    for (int j = 0; j < dims; j++) out[j] /= total;
  }
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
  size_t scores = (size_t)heads * capacity, values = scores * (width / heads);
  float *memory = malloc((space + 5 * width + hidden + scores) * sizeof *memory);
  if (!memory) return -1;
  float *projected = memory + space, *attended = projected + 3 * width, *y = attended + width;
  float *inner = y + width;
  attention a = {.heads = heads, .dims = width / heads, .length = length, .capacity = capacity,
                 .query_key_value = projected, .scores = inner + hidden, .out = attended};
  for (const layer *l = layers; l < layers + count; l++, cache += 2 * values) {
    project(&l->query_key_value, 1, x, &l->attention_norm, IDENTITY, NULL, projected, memory);
    a.keys = cache;
    a.values = cache + values;
    share(attend, &a, heads, (heads + 2 * get_threads() - 1) / (2 * get_threads()));
    project(&l->output, 1, attended, NULL, IDENTITY, x, y, memory);
    project(&l->up, 1, y, &l->feed_forward_norm, activation, NULL, inner, memory);
    project(&l->down, 1, inner, NULL, IDENTITY, y, x, memory);
  }
  free(memory);
  return 0;
}
