/* Convolution on the CPU, channels last, in one pass: over images, of which signals have one row.
 *
 * As matrix products a convolution copies its input before or its output after, and bias and
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
  int batch, rows, columns, channels, out_rows, out_columns, out_channels, tap_rows, tap_columns;
  int stride, padding_rows, padding_columns, dilation;
} shape;

typedef struct {
  shape shape;
  const float *x, *weights, *bias, *residual;
  float *out, *zeros;    /* zeros: a frame of padding */
  lanes *arranged;       /* (panels, taps, channels, TILE_VECTORS) */
  int taps, frames, panels, chunks; /* frames: of the output, row after row */
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

/* The same for all frames of a chunk. */
static void add_tap(const float *const *inputs, int frames, const lanes *weights, int first,
                    int channels, lanes *sums, int vectors) {
  for (int f = 0; f < frames; f += TILE_FRAMES, sums += TILE_FRAMES * TILE_VECTORS) {
    const float *x[TILE_FRAMES];
    for (int i = 0; i < TILE_FRAMES; i++) x[i] = inputs[f + i] + first;
    switch (vectors) {
      case 1: tile(x, weights, channels, sums, 1); break;
      case 2: tile(x, weights, channels, sums, 2); break;
      case 3: tile(x, weights, channels, sums, TILE_VECTORS - 1); break;
      default: tile(x, weights, channels, sums, TILE_VECTORS);
    }
  }
}

/* Where the input of each frame of a chunk lies for one tap. */
static void find_inputs(const convolution *c, const float *x, int tap, int first, int frames,
                        const float **inputs) {
  const shape *s = &c->shape;
  int down = tap / s->tap_columns * s->dilation - s->padding_rows;
  int right = tap % s->tap_columns * s->dilation - s->padding_columns;
  for (int f = 0; f < CHUNK; f++) {
    int row = (first + f) / s->out_columns * s->stride + down;
    int column = (first + f) % s->out_columns * s->stride + right;
    int within = 0 <= row && row < s->rows && 0 <= column && column < s->columns;
    inputs[f] = f < frames && within ? x + ((size_t)row * s->columns + column) * s->channels
                                     : c->zeros;
  }
}

/* A chunk of the frames of one image, of a panel of the output channels. */
static void convolve(const convolution *c, int image, int first, int panel) {
  const shape *s = &c->shape;
  lanes sums[CHUNK * TILE_VECTORS];
  const float *x = c->x + (size_t)image * s->rows * s->columns * s->channels, *inputs[CHUNK];
  int frames = c->frames - first < CHUNK ? c->frames - first : CHUNK, from = panel * PANEL;
  int width = s->out_channels - from < PANEL ? s->out_channels - from : PANEL;
  memset(sums, 0, sizeof sums);
  for (int tap = 0; tap < c->taps; tap++) {
    find_inputs(c, x, tap, first, frames, inputs);
    const lanes *weights =
        c->arranged + ((size_t)panel * c->taps + tap) * s->channels * TILE_VECTORS;
    for (int i = 0; i < s->channels; i += DEPTH)
      add_tap(inputs, frames, weights + (size_t)i * TILE_VECTORS, i,
              s->channels - i < DEPTH ? s->channels - i : DEPTH, sums,
              (width + LANES - 1) / LANES);
  }
  for (int f = 0; f < frames; f++) {
    size_t at = ((size_t)image * c->frames + first + f) * s->out_channels + from;
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
  int rows = c->taps * c->shape.channels;
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
 * x: (batch, rows, columns, channels).
 * weights: (out_channels, tap_rows, tap_columns, channels).
 * bias: (out_channels), or NULL.
 * residual: (batch, out_rows, out_columns, out_channels), or NULL.
 * out: the same.
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_convolve(const shape *s, const float *x, const float *weights,
                              const float *bias, const float *residual, float *out) {
  convolution c = {.shape = *s, .x = x, .weights = weights, .bias = bias, .residual = residual,
                   .out = out, .taps = s->tap_rows * s->tap_columns,
                   .frames = s->out_rows * s->out_columns,
                   .panels = (s->out_channels + PANEL - 1) / PANEL};
  c.chunks = (c.frames + CHUNK - 1) / CHUNK;
  c.zeros = calloc(s->channels, sizeof *c.zeros);
  c.arranged = aligned_alloc(
      sizeof(lanes), sizeof(lanes[TILE_VECTORS]) * c.panels * c.taps * s->channels);
  int failed = !c.zeros || !c.arranged;
  if (!failed) {
    share(arrange_panels, &c, c.panels, 1);
    share(convolve_parts, &c, s->batch * c.chunks * c.panels, 1);
  }
  free(c.zeros);
  free(c.arranged);
  return failed ? -1 : 0;
}
