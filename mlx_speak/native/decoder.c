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
  int heads, dims, tokens;
  const float *query; /* (tokens, heads, dims) */
  memory before;      /* of that capacity, of which all tokens see `length` */
  int capacity, length;
  const float *key, *value; /* as `query`, of the tokens themselves, or null */
  int row;                  /* floats from one token of these three to the next */
  int first;                /* tokens with keys before the first with a query */
  float *scores;            /* (tokens * heads, longest) */
  int longest;
  float *out; /* (tokens, heads, dims) */
} attention;

static void attend(const void *work, int first, int count) {
  const attention *a = work;
  int dims = a->dims;
  float scale = 1 / sqrtf(dims);
  for (int i = first; i < first + count; i++) {
    int token = i / a->heads, own = a->key ? a->first + token + 1 : 0, length = a->length + own;
    size_t at = (size_t)(i % a->heads) * dims, cached = at * a->capacity;
    const float *query = a->query + (size_t)token * a->row + at;
    float *scores = a->scores + (size_t)i * a->longest, *out = a->out + (size_t)i * dims;
    float largest = -INFINITY, total = 0;
    for (int k = 0; k < length; k++) {
      const float *key = k < a->length ? a->before.keys + cached + (size_t)k * dims
                                       : a->key + (size_t)(k - a->length) * a->row + at;
      scores[k] = scale * dot(dims, query, key);
      largest = scores[k] > largest ? scores[k] : largest;
    }
    for (int j = 0; j < dims; j++) out[j] = 0;
    for (int k = 0; k < length; k++) {
      const float *value = k < a->length ? a->before.values + cached + (size_t)k * dims
                                         : a->value + (size_t)(k - a->length) * a->row + at;
      float weight = expf(scores[k] - largest);
      total += weight;
      for (int j = 0; j < dims; j++) out[j] += weight * value[j];
    }
    for (int j = 0; j < dims; j++) out[j] /= total;
  }
}

static void attend_on_threads(const attention *a) {
  int items = a->tokens * a->heads, part = (items + 2 * get_threads() - 1) / (2 * get_threads());
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
  attention a = {.heads = heads, .dims = dims, .tokens = 1, .query = query,
                 .before = {keys, values}, .capacity = capacity, .length = length, .key = key,
                 .value = value, .scores = scores, .longest = length + 1, .out = out};
  attend_on_threads(&a);
  free(scores);
  return 0;
}

/* The tokens' keys or values, out of rows, to a layer's of the passage. */
static void keep(const passage *p, const attention *a, const float *from, float *to) {
  for (int token = 0; token < p->tokens; token++, from += a->row)
    for (int head = 0; head < a->heads; head++)
      memcpy(to + ((size_t)head * p->new_capacity + p->new_at + token) * a->dims,
             from + (size_t)head * a->dims, a->dims * sizeof *from);
}

static int larger(int a, int b) { return a > b ? a : b; }

/* x: (tokens, dims), the tokens' embeddings; the wanted become states, normed by what comes after
 * the layers.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_decode(const layer *layers, int count, const norm *after, int norms, int heads,
                            int activation, const passage *p, float *x) {
  int tokens = p->tokens, width = layers->output.outputs, hidden = layers->up.outputs;
  int longest = larger(p->length + tokens, p->source_length);
  size_t size = (size_t)tokens * width, scores = (size_t)tokens * heads * longest;
  size_t space = projection_space(tokens, hidden > width ? &layers->down : &layers->up);
  size_t values = (size_t)p->new_capacity * width;
  float *room = malloc((space + 6 * size + (size_t)tokens * hidden + scores) * sizeof *room);
  if (!room) return -1;
  float *projected = room + space, *attended = projected + 3 * size, *y = attended + size;
  float *z = y + size, *inner = z + size;
  attention own = {.heads = heads, .dims = width / heads, .tokens = tokens, .query = projected,
                   .capacity = p->capacity, .length = p->length, .key = projected + width,
                   .value = projected + 2 * width, .row = 3 * width,
                   .scores = inner + (size_t)tokens * hidden, .longest = longest, .out = attended};
  attention across = {.heads = heads, .dims = own.dims, .query = projected,
                      .capacity = p->source_length, .length = p->source_length, .row = width,
                      .scores = own.scores, .longest = longest, .out = attended};
  for (int i = 0; i < count; i++) {
    const layer *l = layers + i;
    float *kept = p->new + 2 * i * values;
    project(&l->query_key_value, tokens, x, &l->attention_norm, IDENTITY, NULL, projected, room);
    if (i == count - 1) { /* of the others only the keys and values are asked for */
      own.first = tokens - p->wanted;
      own.query += (size_t)own.first * own.row;
      x += (size_t)own.first * width;
      own.tokens = tokens = p->wanted;
    }
    own.before = p->before[i];
    attend_on_threads(&own);
    keep(p, &own, own.key, kept);
    keep(p, &own, own.value, kept + values);
    const float *between = y; /* attention and feed-forward layers */
    project(&l->output, tokens, attended, NULL, IDENTITY, x, y, room);
    if (p->source) {
      project(&l->source_query, tokens, y, &l->source_norm, IDENTITY, NULL, projected, room);
      across.before = p->source[i];
      across.tokens = tokens;
      attend_on_threads(&across);
      project(&l->source_output, tokens, attended, NULL, IDENTITY, y, z, room);
      between = z;
    }
    project(&l->up, tokens, between, &l->feed_forward_norm, activation, NULL, inner, room);
    project(&l->down, tokens, inner, NULL, IDENTITY, between, x, room);
  }
  for (int token = 0; token < p->wanted; token++, x += width)
    for (int i = 0; i < norms; i++) normalise(after + i, width, x, x);
  free(room);
  return 0;
}
