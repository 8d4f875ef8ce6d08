/* The recurrence of a bidirectional LSTM on the CPU, all of its steps in one call.
 *
 * A step is one small product and a little arithmetic: less work than it is for MLX to dispatch
 * the dozen operations. The two directions know nothing of each other, so each has a thread.
 */
#include <stdlib.h>

#include "activations.h"
#include "lanes.h"
#include "library.h"
#include "pool.h"

/* Rows of the weights multiplied together, so that no sum waits for the one before it. */
enum { ROWS = 4 };

typedef struct {
  int length, size, backward, failed;
  const float *inputs, *weights; /* of this direction; inputs of both directions alternate */
  float *out;
} direction;

static inline float sigmoid(float x) { return 0.5f + 0.5f * rational_tanh(0.5f * x); }

/* gates = inputs + weights hidden, for 4 * size gates. */
static void project(int size, const float *inputs, const float *weights, const float *hidden,
                    float *gates) {
  for (int row = 0; row < 4 * size; row += ROWS) {
    const float *w = weights + (size_t)row * size;
    lanes sums[ROWS] = {0};
    int i = 0;
    for (; i + LANES <= size; i += LANES)
      for (int r = 0; r < ROWS; r++)
        sums[r] = multiply_add(load(w + (size_t)r * size + i), load(hidden + i), sums[r]);
    for (int r = 0; r < ROWS; r++) {
      float total = inputs[row + r] + sum(sums[r]);
      for (int j = i; j < size; j++) total += w[(size_t)r * size + j] * hidden[j];
      gates[row + r] = total;
    }
  }
}

static void run(direction *d) {
  int size = d->size;
  float *cell = calloc((size_t)6 * size, sizeof *cell), *zeros = cell + size, *gates = zeros + size;
  d->failed = !cell;
  if (d->failed) return;
  const float *hidden = zeros;
  for (int step = 0; step < d->length; step++) {
    size_t t = d->backward ? d->length - 1 - step : step;
    float *out = d->out + t * 2 * size;
    project(size, d->inputs + t * 8 * size, d->weights, hidden, gates);
    const float *input = gates, *forget = gates + size, *output = forget + size;
    const float *candidate = output + size;
    for (int i = 0; i < size; i++)
      cell[i] = sigmoid(forget[i]) * cell[i] + sigmoid(input[i]) * rational_tanh(candidate[i]);
    for (int i = 0; i < size; i++) out[i] = sigmoid(output[i]) * rational_tanh(cell[i]);
    hidden = out;
  }
  free(cell);
}

static void run_some(const void *work, int first, int count) {
  direction *const *directions = work;
  for (int i = first; i < first + count; i++) run(directions[i]);
}

/* From zero states. Gates in the order input, forget, output, cell.
 *
 * inputs: (length, 2, 4 * size), the projected inputs of both directions, biases added.
 * weights: (2, 4 * size, size).
 * out: (length, 2 * size), both directions side by side.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_lstm(int length, int size, const float *inputs, const float *weights,
                          float *out) {
  direction forward = {length, size, 0, 0, inputs, weights, out};
  direction backward = {
      length, size, 1, 0, inputs + 4 * size, weights + (size_t)4 * size * size, out + size};
  direction *both[] = {&forward, &backward};
  share(run_some, both, 2, 1);
  return forward.failed || backward.failed ? -1 : 0;
}
