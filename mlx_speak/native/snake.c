/* Instance norm and snake on the CPU: one pass over the signal for its moments, one for the rest.
 *
 * MLX does these in ten passes on one thread, a quarter of the time of a vocoder whose convolutions
 * have two.
 */
#include <stdlib.h>

#include "lanes.h"
#include "library.h"
#include "pool.h"

/* Frames that are summed, and taken by a thread, at a time: they stay in the nearest caches. */
enum { CHUNK = 64 };

typedef struct {
  int length, channels, chunks;
  const float *x, *scale, *shift, *gain;
  float *out, *means, *squares; /* (chunks, channels) */
} signal;

static int frames_of(const signal *s, int chunk) {
  int left = s->length - chunk * CHUNK;
  return left < CHUNK ? left : CHUNK;
}

/* Mean, and squares summed about it, of a chunk. Taken about the mean of another chunk, or about
 * zero, they would cancel on channels with a large offset. */
static void measure(const void *work, int first, int count) {
  const signal *s = work;
  int channels = s->channels;
  for (int i = first; i < first + count; i++) {
    int frames = frames_of(s, i);
    const float *x = s->x + (size_t)i * CHUNK * channels;
    float *mean = s->means + (size_t)i * channels, *squares = s->squares + (size_t)i * channels;
    for (int f = 0; f < frames; f++)
      for (int c = 0; c < channels; c++) mean[c] += x[(size_t)f * channels + c];
    for (int c = 0; c < channels; c++) mean[c] /= frames;
    for (int f = 0; f < frames; f++)
      for (int c = 0; c < channels; c++) {
        float d = x[(size_t)f * channels + c] - mean[c];
        squares[c] += d * d;
      }
  }
}

/* Mean and (biased) variance over time.
 *
 * x: (length, channels).
 * mean, variance: (channels).
 *
 * Returns 0, or -1 if there is no memory. */
PUBLIC int mlx_speak_moments(int length, int channels, const float *x, float *mean,
                             float *variance) {
  signal s = {.length = length, .channels = channels, .chunks = (length + CHUNK - 1) / CHUNK, .x = x};
  s.means = calloc((size_t)2 * s.chunks * channels, sizeof *s.means);
  if (!s.means) return -1;
  s.squares = s.means + (size_t)s.chunks * channels;
  share(measure, &s, s.chunks, 1);
  for (int c = 0; c < channels; c++) {
    double sum = 0, squares = 0;
    for (int i = 0; i < s.chunks; i++) sum += (double)frames_of(&s, i) * s.means[(size_t)i * channels + c];
    for (int i = 0; i < s.chunks; i++) {
      double d = s.means[(size_t)i * channels + c] - sum / length;
      squares += s.squares[(size_t)i * channels + c] + frames_of(&s, i) * d * d;
    }
    mean[c] = sum / length;
    variance[c] = squares / length;
  }
  free(s.means);
  return 0;
}

/* y + sin^2(y) for y = pi half_turns: `_unit_snake` of nn/activations.py, where it is explained. */
static inline float unit_snake(float half_turns) {
  float rest = half_turns - ((half_turns + 12582912.0f) - 12582912.0f), z = rest * rest, z2 = z * z;
  float low = z * (9.8696029f - 32.469581f * z);
  float high = z * z2 * ((42.725385f - 30.085953f * z) + z2 * (12.990730f - 3.2729462f * z));
  return 3.14159265f * half_turns + (low + high);
}

static void activate(const void *work, int first, int count) {
  const signal *s = work;
  for (int i = first; i < first + count; i++) {
    size_t at = (size_t)i * CHUNK * s->channels;
    for (int f = 0; f < frames_of(s, i); f++, at += s->channels)
      for (int c = 0; c < s->channels; c++)
        s->out[at + c] = s->gain[c] * unit_snake(s->x[at + c] * s->scale[c] + s->shift[c]);
  }
}

/* out = gain (y + sin^2(y)) for y = pi (scale x + shift).
 *
 * x, out: (length, channels).
 * scale, shift, gain: (channels). */
PUBLIC int mlx_speak_snake(int length, int channels, const float *x, const float *scale,
                           const float *shift, const float *gain, float *out) {
  signal s = {.length = length, .channels = channels, .chunks = (length + CHUNK - 1) / CHUNK,
              .x = x, .scale = scale, .shift = shift, .gain = gain, .out = out};
  share(activate, &s, s.chunks, 1);
  return 0;
}
