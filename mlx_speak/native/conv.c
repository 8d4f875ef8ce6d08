/* Convolution over time on the CPU, channels last, in one pass over the signal.
 *
 * As matrix products a convolution copies its signal before or its output after, and bias and
 * residual are passes of their own. Here a chunk of the output stays in the cache until all taps
 * are in it, and a tile of that in registers for one tap.
 */
#include <stdlib.h>

#include "lanes.h"
#include "library.h"
#include "pool.h"

/* Frames, and vectors of output channels, that are summed in registers: AVX-512 and NEON have 32
 * of those, others 16. */
enum { TILE_FRAMES = 6 };
#if defined(__AVX512F__) || defined(__aarch64__)
enum { TILE_VECTORS = 4 };
#else
enum { TILE_VECTORS = 2 };
#endif
enum { PANEL = TILE_VECTORS * LANES };

/* Frames that a thread takes at a time, and input channels whose weights stay in the nearest cache
 * while a chunk goes by. */
enum { CHUNK = 20 * TILE_FRAMES, DEPTH = 128 };

typedef struct {
  int batch, length, channels, frames, out_channels, taps, stride, padding, dilation;
} shape;

typedef struct {
  shape shape;
  const float *x, *weights, *bias, *residual;
  float *out, *zeros;    /* zeros: a frame of padding */
  lanes *arranged;       /* (panels, taps, channels, TILE_VECTORS) */
  int panels, chunks;
} convolution;

/* sums += x weights, over some input channels. Inlined, so that `vectors` is a constant. */
__attribute__((always_inline)) static inline void tile(const float *const *x, const lanes *weights,
                                                       int channels, lanes *sums,
                                                       const int vectors) {
  lanes held[TILE_FRAMES][TILE_VECTORS];
  for (int f = 0; f < TILE_FRAMES; f++)
    for (int v = 0; v < vectors; v++) held[f][v] = sums[f * TILE_VECTORS + v];
  for (int i = 0; i < channels; i++, weights += TILE_VECTORS)
    for (int f = 0; f < TILE_FRAMES; f++) {
      lanes value = x[f][i] - (lanes){0}; /* in every lane */
      for (int v = 0; v < vectors; v++) held[f][v] = multiply_add(value, weights[v], held[f][v]);
    }
  for (int f = 0; f < TILE_FRAMES; f++)
    for (int v = 0; v < vectors; v++) sums[f * TILE_VECTORS + v] = held[f][v];
}

/* The same for all frames of a chunk, whose inputs are the `rows`. */
static void add_tap(const float *const *rows, int frames, const lanes *weights, int first,
                    int channels, lanes *sums, int vectors) {
  for (int f = 0; f < frames; f += TILE_FRAMES, sums += TILE_FRAMES * TILE_VECTORS) {
    const float *x[TILE_FRAMES];
    for (int i = 0; i < TILE_FRAMES; i++) x[i] = rows[f + i] + first;
    switch (vectors) {
      case 1: tile(x, weights, channels, sums, 1); break;
      case 2: tile(x, weights, channels, sums, 2); break;
      case 3: tile(x, weights, channels, sums, TILE_VECTORS - 1); break;
      default: tile(x, weights, channels, sums, TILE_VECTORS);
    }
  }
}

/* A chunk of the frames of one signal, of a panel of the output channels. */
static void convolve(const convolution *c, int signal, int first, int panel) {
  const shape *s = &c->shape;
  lanes sums[CHUNK * TILE_VECTORS];
  const float *x = c->x + (size_t)signal * s->length * s->channels, *rows[CHUNK];
  int frames = s->frames - first < CHUNK ? s->frames - first : CHUNK, from = panel * PANEL;
  int width = s->out_channels - from < PANEL ? s->out_channels - from : PANEL;
  memset(sums, 0, sizeof sums);
  for (int tap = 0; tap < s->taps; tap++) {
    for (int f = 0; f < CHUNK; f++) {
      int t = (first + f) * s->stride + tap * s->dilation - s->padding;
      rows[f] = f < frames && 0 <= t && t < s->length ? x + (size_t)t * s->channels : c->zeros;
    }
    const lanes *weights =
        c->arranged + ((size_t)panel * s->taps + tap) * s->channels * TILE_VECTORS;
    for (int i = 0; i < s->channels; i += DEPTH)
      add_tap(rows, frames, weights + (size_t)i * TILE_VECTORS, i,
              s->channels - i < DEPTH ? s->channels - i : DEPTH, sums,
              (width + LANES - 1) / LANES);
  }
  for (int f = 0; f < frames; f++) {
    size_t at = ((size_t)signal * s->frames + first + f) * s->out_channels + from;
    const float *sum = (const float *)(sums + f * TILE_VECTORS);
    for (int i = 0; i < width; i++)
      c->out[at + i] = sum[i] + (c->bias ? c->bias[from + i] : 0) +
                       (c->residual ? c->residual[at + i] : 0);
  }
}

static void convolve_parts(const void *work, int first, int count) {
  const convolution *c = work;
  for (int i = first; i < first + count; i++)
    convolve(c, i / c->panels / c->chunks, i / c->panels % c->chunks * CHUNK, i % c->panels);
}

/* The weights of a panel as they are multiplied, zeros where there are no more channels. As many
 * rows at a time as stay in the nearest cache. */
static void arrange(const convolution *c, int panel) {
  int rows = c->shape.taps * c->shape.channels;
  float *to = (float *)(c->arranged + (size_t)panel * rows * TILE_VECTORS);
  for (int first = 0; first < rows; first += LANES)
    for (int i = 0; i < PANEL; i++) {
      int channel = panel * PANEL + i, end = first + LANES < rows ? first + LANES : rows;
      const float *from = c->weights + (size_t)channel * rows;
      for (int row = first; row < end; row++)
        to[(size_t)row * PANEL + i] = channel < c->shape.out_channels ? from[row] : 0;
    }
}

static void arrange_panels(const void *work, int first, int count) {
  for (int panel = first; panel < first + count; panel++) arrange(work, panel);
}

/* out = x * weights + bias + residual.
 *
 * x: (batch, length, channels).
 * weights: (out_channels, taps, channels).
 * bias: (out_channels), or NULL.
 * residual: (batch, frames, out_channels), or NULL.
 * out: (batch, frames, out_channels).
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_conv1d(const shape *shape, const float *x, const float *weights, const float *bias,
                            const float *residual, float *out) {
  convolution c = {.shape = *shape, .x = x, .weights = weights, .bias = bias, .residual = residual,
                   .out = out, .panels = (shape->out_channels + PANEL - 1) / PANEL,
                   .chunks = (shape->frames + CHUNK - 1) / CHUNK};
  c.zeros = calloc(shape->channels, sizeof *c.zeros);
  c.arranged = aligned_alloc(sizeof(lanes), sizeof(lanes[TILE_VECTORS]) * c.panels * shape->taps *
                                                shape->channels);
  int failed = !c.zeros || !c.arranged;
  if (!failed) {
    share(arrange_panels, &c, c.panels, 1);
    share(convolve_parts, &c, c.shape.batch * c.chunks * c.panels, 1);
  }
  free(c.zeros);
  free(c.arranged);
  return failed ? -1 : 0;
}
