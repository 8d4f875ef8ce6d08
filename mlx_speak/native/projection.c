#include "projection.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "activations.h"
#include "few_rows.h"
#include "library.h"
#include "pool.h"

/* Rows up to which quantised weights are multiplied as they are; for more of them they are first
 * made floats, since that is then done once. */
enum { QUANTIZED_ROWS = 4 };

/* Parts for each thread, of a multiple of so many outputs; bytes of their weights that are to be on
 * their way from memory while others are multiplied. */
enum { PARTS = 8, PART = 64, BYTES_AHEAD = 4096 };

typedef struct {
  product dense; /* its b is not there if the weights are quantised */
  const linear *layer;
  const float *sums; /* of x, in each row and group */
  const float *residual;
  int activation;
} projection;

void normalise(const norm *n, int length, const float *x, float *out) {
  lanes sums = {0};
  int i = 0;
  float total = 0;
  for (; i + LANES <= length; i += LANES) sums += load(x + i);
  for (; i < length; i++) total += x[i];
  float mean = (sum(sums) + total) / length;
  lanes squares = {0};
  for (i = 0, total = 0; i + LANES <= length; i += LANES) {
    lanes centred = load(x + i) - mean;
    squares = multiply_add(centred, centred, squares);
  }
  for (; i < length; i++) total += (x[i] - mean) * (x[i] - mean);
  float scale = 1 / sqrtf((sum(squares) + total) / length + n->eps);
  for (i = 0; i < length; i++) out[i] = (x[i] - mean) * scale * n->weight[i] + n->bias[i];
}

static void sum_groups(int length, int group, const float *x, float *out) {
  for (int g = 0; g < length / group; g++) {
    lanes total = {0};
    for (int i = 0; i < group; i += LANES) total += load(x + (size_t)g * group + i);
    out[g] = sum(total);
  }
}

/* x in the order in which numbers of 4 bits come out of their bytes: of 2 LANES the even ones, then
 * the odd ones. */
static void pair_up(int length, const float *x, float *out) {
  for (int block = 0; block < length; block += 2 * LANES)
    for (int i = 0; i < LANES; i++) {
      out[block + i] = x[block + 2 * i];
      out[block + LANES + i] = x[block + 2 * i + 1];
    }
}

/* The numbers of `packed` from the i-th on: LANES of them, or of 4 bits twice as many. */
__attribute__((always_inline)) static inline void unpack(const uint8_t *packed, int i,
                                                         const int bits, lanes numbers[2]) {
  bytes v;
  memcpy(&v, packed + (size_t)i * bits / 8, sizeof v);
  numbers[0] = widen(bits == 8 ? v : v & 15);
  if (bits == 4) numbers[1] = widen(v >> 4);
}

/* That many rows of some columns. Inlined, so that the last three are constants. */
__attribute__((always_inline)) static inline void quantized(const projection *p, int first,
                                                            int count, const int rows,
                                                            const int bits, const int group) {
  int k = p->dense.k, groups = k / group;
  for (int column = first; column < first + count; column++) {
    const uint8_t *packed = (const uint8_t *)p->layer->weight + (size_t)column * k * bits / 8;
    const float *scales = p->layer->scales + (size_t)column * groups;
    lanes totals[QUANTIZED_ROWS] = {0}, numbers[2];
    for (int g = 0; g < groups; g++) {
      lanes part[QUANTIZED_ROWS] = {0}, scale = (lanes){0} + scales[g];
      prefetch(packed + (size_t)g * group * bits / 8 + BYTES_AHEAD);
      for (int i = g * group; i < (g + 1) * group; i += 8 / bits * LANES) {
        unpack(packed, i, bits, numbers);
        for (int half = 0; half < 8 / bits; half++)
          for (int r = 0; r < rows; r++)
            part[r] = multiply_add(numbers[half],
                                   load(p->dense.a + (size_t)r * k + i + half * LANES), part[r]);
      }
      for (int r = 0; r < rows; r++) totals[r] = multiply_add(scale, part[r], totals[r]);
    }
    for (int r = 0; r < rows; r++)
      p->dense.c[(size_t)r * p->dense.ldc + column] =
          sum(totals[r]) +
          dot(groups, p->layer->offsets + (size_t)column * groups, p->sums + (size_t)r * groups);
  }
}

__attribute__((always_inline)) static inline void quantized_rows(const projection *p, int first,
                                                                 int count, const int rows) {
  if (p->layer->bits == 8 && p->layer->group == 64) quantized(p, first, count, rows, 8, 64);
  if (p->layer->bits == 4 && p->layer->group == 64) quantized(p, first, count, rows, 4, 64);
  if (p->layer->bits == 8 && p->layer->group != 64) quantized(p, first, count, rows, 8, p->layer->group);
  if (p->layer->bits == 4 && p->layer->group != 64) quantized(p, first, count, rows, 4, p->layer->group);
}

/* The weights of some outputs as floats, in the order of x. */
__attribute__((always_inline)) static inline void dequantize_bits(const projection *p, int first,
                                                                  int count, const int bits,
                                                                  float *out) {
  const linear *layer = p->layer;
  int k = p->dense.k, group = layer->group;
  const uint8_t *packed = (const uint8_t *)layer->weight + (size_t)first * k * bits / 8;
  const float *scales = layer->scales + (size_t)first * (k / group);
  const float *offsets = layer->offsets + (size_t)first * (k / group);
  for (int g = 0; g < count * (k / group); g++, packed += group * bits / 8) {
    lanes scale = (lanes){0} + scales[g], offset = (lanes){0} + offsets[g], numbers[2];
    for (int i = 0; i < group; i += 8 / bits * LANES) {
      unpack(packed, i, bits, numbers);
      for (int half = 0; half < 8 / bits; half++, out += LANES) {
        lanes weights = multiply_add(scale, numbers[half], offset);
        memcpy(out, &weights, sizeof weights);
      }
    }
  }
}

static void dequantize(const projection *p, int first, int count, float *out) {
  if (p->layer->bits == 8)
    dequantize_bits(p, first, count, 8, out);
  else
    dequantize_bits(p, first, count, 4, out);
}

static void finish(const projection *p, int first, int count) {
  for (int row = 0; row < p->dense.m; row++) {
    float *out = p->dense.c + (size_t)row * p->dense.ldc + first;
    const float *residual = p->residual + (size_t)row * p->dense.ldc + first;
    if (p->layer->bias)
      for (int i = 0; i < count; i++) out[i] += p->layer->bias[first + i];
    if (p->activation == RELU)
      for (int i = 0; i < count; i++) out[i] = out[i] < 0 ? 0 : out[i]; /* NaN stays NaN */
    if (p->activation == GELU_TANH)
      for (int i = 0; i < count; i++) {
        float x = out[i], scale = 0.7978845608f; /* sqrt(2 / pi) */
        out[i] = 0.5f * x * (1 + rational_tanh(x * (scale + scale * 0.044715f * (x * x))));
      }
    if (p->residual)
      for (int i = 0; i < count; i++) out[i] += residual[i];
  }
}

static void project_part(const void *work, int first, int count) {
  const projection *p = work;
  product part = p->dense;
  part.c += first;
  part.n = count;
  if (p->layer->bits == 0) {
    part.b += (size_t)first * part.ldb;
    compute(&part);
  } else if (part.m == 1) {
    quantized_rows(p, first, count, 1);
  } else if (part.m == 2) {
    quantized_rows(p, first, count, 2);
  } else if (part.m == 3) {
    quantized_rows(p, first, count, 3);
  } else if (part.m == QUANTIZED_ROWS) {
    quantized_rows(p, first, count, QUANTIZED_ROWS);
  } else {
    for (int done = 0; done < count; done += PART) {
      product block = part;
      block.n = count - done < PART ? count - done : PART;
      block.c += done;
      float weights[(size_t)block.n * block.k];
      dequantize(p, first + done, block.n, weights);
      block.b = weights;
      compute(&block);
    }
  }
  finish(p, first, count);
}

size_t projection_space(int rows, const linear *layer) { return 3 * (size_t)rows * layer->inputs; }

void project(const linear *layer, int rows, const float *x, const norm *before, int activation,
             const float *residual, float *out, float *space) {
  int inputs = layer->inputs, outputs = layer->outputs;
  size_t size = (size_t)rows * inputs;
  float *normed = space, *pairs = space + size, *sums = pairs + size;
  if (before) {
    for (size_t at = 0; at < size; at += inputs) normalise(before, inputs, x + at, normed + at);
    x = normed;
  }
  if (layer->bits)
    for (size_t at = 0; at < size; at += inputs)
      sum_groups(inputs, layer->group, x + at, sums + at / layer->group);
  if (layer->bits == 4) {
    for (size_t at = 0; at < size; at += inputs) pair_up(inputs, x + at, pairs + at);
    x = pairs;
  }
  projection p = {
      .dense = {NO_TRANS, TRANS, rows, outputs, inputs, inputs, inputs, outputs, 1, 0, x,
                layer->bits ? NULL : layer->weight, out},
      .layer = layer,
      .sums = sums,
      .residual = residual,
      .activation = activation,
  };
  int part = (outputs + PARTS * get_threads() - 1) / (PARTS * get_threads());
  enter();
  share(project_part, &p, outputs, (part + PART - 1) / PART * PART);
  leave();
}

/* `project` from without. Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_projection(const linear *layer, int rows, const float *x, const norm *before,
                                int activation, const float *residual, float *out) {
  float *space = malloc((projection_space(rows, layer) + 1) * sizeof *space);
  if (!space) return -1;
  project(layer, rows, x, before, activation, residual, out, space);
  free(space);
  return 0;
}
