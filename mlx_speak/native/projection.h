/* A linear layer on the CPU with the norm before it and the activation or residual after it. */
#ifndef MLX_SPEAK_PROJECTION_H
#define MLX_SPEAK_PROJECTION_H
#include <stddef.h>

typedef struct {
  int inputs, outputs;
  int bits, group; /* 0 bits: the weights are floats */
  /* (outputs, inputs) floats, or quantised as MLX does it: whole numbers of 8 or 4 bits, of which
   * each group has a scale and an offset, both (outputs, inputs / group). */
  const void *weight;
  const float *scales, *offsets;
  const float *bias; /* (outputs,) or null */
} linear;

typedef struct {
  const float *weight, *bias;
  float eps;
} norm;

/* out = x normed, which may be the same; both (length,). */
void normalise(const norm *n, int length, const float *x, float *out);

enum { IDENTITY, RELU, GELU_TANH };

/* out = activation(before(x) weight' + bias) + residual, of which all but the product is optional.
 *
 * x: (rows, inputs). residual, out: (rows, outputs), which must not be the same.
 * space: of `projection_space` floats. */
void project(const linear *layer, int rows, const float *x, const norm *before, int activation,
             const float *residual, float *out, float *space);

size_t projection_space(int rows, const linear *layer);

#endif
