/* Tokens through a pre-norm decoder on the CPU, all of its layers in one call.
 *
 * Between a token's products there is so little to do that MLX's dispatching of it takes longer. */
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
  int heads, dims, capacity; /* dims of a head */
  int length;                /* of (heads, capacity, dims) keys and values so many are there */
  int row;                   /* floats from one token's query to the next one's */
  const float *query;        /* (tokens, heads, dims), of which the first sees `length` keys, */
  const float *keys, *values; /* the second one more, and so on */
  const float *key, *value;   /* (heads, dims): one more for the first, or null */
  float *scores;              /* (heads * tokens, longest) */
  int longest;
  float *out; /* (tokens, heads, dims) */
} attention;

static void attend(const void *work, int first, int count) {
  const attention *a = work;
  int dims = a->dims;
  float scale = 1 / sqrtf(dims);
  for (int i = first; i < first + count; i++) {
    int token = i / a->heads, cached = a->length + token, length = cached + (a->key != NULL);
    size_t at = (size_t)(i % a->heads) * dims, keys = at * a->capacity;
    const float *query = a->query + (size_t)token * a->row + at;
    float *scores = a->scores + (size_t)i * a->longest, *out = a->out + (size_t)i * dims;
    float largest = -INFINITY, total = 0;
    for (int k = 0; k < length; k++) {
      const float *key = k < cached ? a->keys + keys + (size_t)k * dims : a->key + at;
      scores[k] = scale * dot(dims, query, key);
      largest = scores[k] > largest ? scores[k] : largest;
    }
    for (int j = 0; j < dims; j++) out[j] = 0;
    for (int k = 0; k < length; k++) {
      const float *value = k < cached ? a->values + keys + (size_t)k * dims : a->value + at;
      float weight = expf(scores[k] - largest);
      total += weight;
      for (int j = 0; j < dims; j++) out[j] += weight * value[j];
    }
    for (int j = 0; j < dims; j++) out[j] /= total;
  }
}

static void attend_on_threads(const attention *a, int tokens) {
  int items = tokens * a->heads, part = (items + 2 * get_threads() - 1) / (2 * get_threads());
  /* Less than it takes to tell another thread stays on this one. */
  share(attend, a, items, (size_t)a->longest * items * a->dims < SMALL ? items : part);
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
  attention a = {heads, dims, capacity, length, heads * dims, query, keys,
                 values, key, value, scores, length + 1, out};
  attend_on_threads(&a, 1);
  free(scores);
  return 0;
}

/* The keys or values of tokens into the cache, in which `length` are. */
static void keep(const attention *a, int tokens, int length, const float *from, float *cached) {
  for (int token = 0; token < tokens; token++, from += a->row)
    for (int head = 0; head < a->heads; head++)
      memcpy(cached + ((size_t)head * a->capacity + length + token) * a->dims,
             from + (size_t)head * a->dims, a->dims * sizeof *from);
}

/* x: (tokens, dims), the tokens' embeddings; the last becomes the last one's state, normed by what
 * comes after the layers.
 * cache: (layers, 2, heads, capacity, dims / heads), of which `length` tokens are there; gets these.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_decode(const layer *layers, int count, const norm *after, int norms, int heads,
                            int activation, float *cache, int capacity, int length, int tokens,
                            float *x) {
  int width = layers->output.outputs, hidden = layers->up.outputs;
  size_t space = projection_space(tokens, hidden > width ? &layers->down : &layers->up);
  size_t size = (size_t)tokens * width, scores = (size_t)tokens * heads * (length + tokens);
  size_t values = (size_t)capacity * width;
  float *memory = malloc((space + 5 * size + (size_t)tokens * hidden + scores) * sizeof *memory);
  if (!memory) return -1;
  float *projected = memory + space, *attended = projected + 3 * size, *y = attended + size;
  float *inner = y + size;
  attention a = {.heads = heads, .dims = width / heads, .capacity = capacity, .row = 3 * width,
                 .query = projected, .scores = inner + (size_t)tokens * hidden,
                 .longest = length + tokens, .length = length + 1, .out = attended};
  for (int i = 0; i < count; i++, cache += 2 * values) {
    const layer *l = layers + i;
    project(&l->query_key_value, tokens, x, &l->attention_norm, IDENTITY, NULL, projected, memory);
    keep(&a, tokens, length, projected + width, cache);
    keep(&a, tokens, length, projected + 2 * width, cache + values);
    a.keys = cache;
    a.values = cache + values;
    if (i == count - 1) { /* of the others only the keys and values are asked for */
      x += size - width;
      a.query += (size_t)(tokens - 1) * a.row;
      a.length += tokens - 1;
      tokens = 1;
    }
    attend_on_threads(&a, tokens);
    project(&l->output, tokens, attended, NULL, IDENTITY, x, y, memory);
    project(&l->up, tokens, y, &l->feed_forward_norm, activation, NULL, inner, memory);
    project(&l->down, tokens, inner, NULL, IDENTITY, y, x, memory);
  }
  for (int i = 0; i < norms; i++) normalise(after + i, width, x, x);
  free(memory);
  return 0;
}
