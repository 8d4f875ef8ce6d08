/* Softmax to the base 2 on the CPU: the highest of a row, powers and their sum while it is in the
 * nearest cache. MLX makes ten passes over all rows on one thread. */
#include <float.h>

#include "lanes.h"
#include "library.h"
#include "pool.h"

/* Rows that a thread takes at a time. */
enum { ROWS = 16 };

typedef int whole_lanes __attribute__((vector_size(LANES * sizeof(int))));

typedef struct {
  int columns;
  const float *scores;
  float *out;
} table;

static inline lanes higher(lanes a, lanes b) {
  whole_lanes below = a < b;
  return (lanes)(((whole_lanes)b & below) | ((whole_lanes)a & ~below));
}

/* 2^x for x up to 0, within 2e-7: `exp2_nonpositive` of nn/activations.py, where it is explained. */
static inline lanes power_of_two(lanes x) {
  x = higher(x, (lanes){0} - 126);
  lanes whole = (x + 12582912.0f) - 12582912.0f, y = x - whole, p = (lanes){0} + 1.5252734e-5f;
  p = p * y + 1.5403530e-4f;
  p = p * y + 1.3333558e-3f;
  p = p * y + 9.6181291e-3f;
  p = p * y + 5.5504109e-2f;
  p = p * y + 2.4022651e-1f;
  p = p * y + 6.9314718e-1f;
  p = p * y + 1;
  return p * (lanes)((__builtin_convertvector(whole, whole_lanes) + 127) << 23);
}

/* As many of the columns as there are, or lanes. */
static inline int width(int columns, int from) {
  return columns - from < LANES ? columns - from : LANES;
}

static inline lanes load_some(const float *p, int count) {
  if (count == LANES) return load(p);
  lanes v = (lanes){0} - FLT_MAX;
  memcpy(&v, p, count * sizeof *p);
  return v;
}

static void normalise(int columns, const float *x, float *out) {
  lanes highest = (lanes){0} - FLT_MAX, total = {0};
  for (int i = 0; i < columns; i += LANES)
    highest = higher(highest, load_some(x + i, width(columns, i)));
  float most = highest[0];
  for (int i = 1; i < LANES; i++) most = highest[i] > most ? highest[i] : most;
  for (int i = 0; i < columns; i += LANES) {
    int count = width(columns, i);
    lanes power = power_of_two(load_some(x + i, count) - most);
    if (count < LANES) {
      for (int j = count; j < LANES; j++) power[j] = 0;
      memcpy(out + i, &power, count * sizeof *out);
    } else {
      memcpy(out + i, &power, sizeof power);
    }
    total += power;
  }
  float share = 1 / sum(total);
  for (int i = 0; i < columns; i++) out[i] *= share;
}

static void normalise_rows(const void *work, int first, int count) {
  const table *t = work;
  for (size_t row = first; row < (size_t)first + count; row++)
    normalise(t->columns, t->scores + row * t->columns, t->out + row * t->columns);
}

/* Each row x of scores to 2^x / sum(2^x).
 *
 * scores, out: (rows, columns). */
PUBLIC int mlx_speak_softmax(int rows, int columns, const float *scores, float *out) {
  table t = {columns, scores, out};
  share(normalise_rows, &t, rows, ROWS);
  return 0;
}
