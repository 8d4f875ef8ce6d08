/* Everything that the library computes, from two threads at once, for a sanitizer to watch. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "decoder.h"

int mlx_speak_blas_open(const char *, const char *, const char *, int);
int mlx_speak_projection(const linear *, int, const float *, const norm *, int, const float *,
                         float *);
int mlx_speak_decode(const layer *, int, const norm *, int, int, int, const passage *, float *);
int mlx_speak_attend(int, int, int, int, const float *, const float *, const float *, const float *,
                     const float *, float *);
int mlx_speak_lstm(int, int, const float *, const float *, float *);
int mlx_speak_convolve(const int *, const float *, const float *, const float *, const float *,
                       float *);
int mlx_speak_moments(int, int, const float *, float *, float *);
int mlx_speak_snake(int, int, const float *, const float *, const float *, const float *, float *);
int mlx_speak_softmax(int, int, const float *, float *);

/* Exactly as many numbers as asked for, so that one more is seen. */
static float *numbers(size_t count) {
  float *all = malloc(count * sizeof *all);
  for (size_t i = 0; i < count; i++) all[i] = (float)((i * 2654435761u) % 1000) / 1000 - 0.5f;
  return all;
}

static linear linear_of(int inputs, int outputs, int bits, int group) {
  size_t size = (size_t)inputs * outputs;
  linear l = {inputs, outputs, bits, group, NULL, NULL, NULL, numbers(outputs)};
  if (bits) {
    unsigned char *packed = malloc(size * bits / 8);
    for (size_t i = 0; i < size * bits / 8; i++) packed[i] = i * 37;
    l.weight = packed;
    l.scales = numbers(size / group);
    l.offsets = numbers(size / group);
  } else {
    l.weight = numbers(size);
  }
  return l;
}

static void free_linear(linear l) {
  free((void *)l.weight);
  free((void *)l.scales);
  free((void *)l.offsets);
  free((void *)l.bias);
}

static void *check(void *unused) {
  (void)unused;
  int inputs = 544, width = 64, heads = 4, capacity = 21;
  float *weight = numbers(inputs), *bias = numbers(inputs);
  norm before = {weight, bias, 1e-5f};
  for (int bits = 0; bits <= 8; bits += 4)
    for (int outputs = 1; outputs < 400; outputs += 97)
      for (int rows = 1; rows < 70; rows = 2 * rows + 1) {
        linear l = linear_of(inputs, outputs, bits, 32);
        float *x = numbers((size_t)rows * inputs), *out = numbers((size_t)rows * outputs);
        float *residual = numbers((size_t)rows * outputs);
        if (mlx_speak_projection(&l, rows, x, &before, outputs % 3, residual, out)) exit(2);
        free_linear(l), free(x), free(out), free(residual);
      }
  for (int bits = 0; bits <= 8; bits += 4) {
    layer layers[2];
    for (int i = 0; i < 2; i++)
      layers[i] = (layer){before,
                          linear_of(width, 3 * width, bits, 32),
                          linear_of(width, width, bits, 32),
                          before,
                          linear_of(width, width, bits, 32),
                          linear_of(width, width, bits, 32),
                          before,
                          linear_of(width, 4 * width, bits, 32),
                          linear_of(4 * width, width, bits, 32)};
    float *cache = numbers((size_t)2 * 2 * width * capacity), *x = numbers(6 * width);
    int words = 5;
    float *source = numbers((size_t)width * words);
    memory from[] = {{source, source}, {source, source}}, to[2];
    for (int i = 0; i < 2; i++) {
      float *keys = cache + (size_t)2 * i * width * capacity;
      to[i] = (memory){keys, keys + (size_t)width * capacity};
    }
    for (int length = 0, tokens = 1; length < capacity; length += tokens++) {
      passage p = {tokens, 1 + tokens / 2, length, capacity, to, words, tokens % 2 ? from : NULL,
                   cache, capacity, length};
      if (mlx_speak_decode(layers, 2, &before, 1, heads, 2, &p, x)) exit(2);
    }
    for (int i = 0; i < 2; i++)
      free_linear(layers[i].query_key_value), free_linear(layers[i].output),
          free_linear(layers[i].source_query), free_linear(layers[i].source_output),
          free_linear(layers[i].up), free_linear(layers[i].down);
    free(source);
    free(cache), free(x);
  }
  for (int length = 0; length < 600; length += 199) {
    float *q = numbers(4 * 20), *k = numbers(4 * 20 * (length + 1)), *out = numbers(4 * 20);
    if (mlx_speak_attend(4, 20, length, length + 1, q, k, k, q, q, out)) exit(2);
    if (length && mlx_speak_attend(4, 20, length, length + 1, q, k, k, NULL, NULL, out)) exit(2);
    free(q), free(k), free(out);
  }
  int length = 5, size = 20;
  float *gates = numbers((size_t)length * 8 * size), *recurrent = numbers((size_t)8 * size * size);
  float *states = numbers((size_t)length * 2 * size);
  if (mlx_speak_lstm(length, size, gates, recurrent, states)) exit(2);
  free(gates), free(recurrent), free(states), free(weight), free(bias);
  /* An image of 9 by 40, with a border, by 3 by 3 taps from 7 to 70 channels. */
  int image[] = {2, 9, 40, 7, 11, 42, 70, 3, 3, 1, 2, 2, 1}, frames = 2 * 11 * 42;
  float *pixels = numbers(2 * 9 * 40 * 7), *taps = numbers(70 * 9 * 7), *channels = numbers(70);
  float *added = numbers((size_t)frames * 70), *sound = numbers((size_t)frames * 70);
  if (mlx_speak_convolve(image, pixels, taps, channels, added, sound)) exit(2);
  float *mean = numbers(70), *variance = numbers(70);
  if (mlx_speak_moments(frames, 70, sound, mean, variance)) exit(2);
  if (mlx_speak_snake(frames, 70, sound, mean, variance, channels, added)) exit(2);
  if (mlx_speak_softmax(70, frames, sound, added)) exit(2);
  free(pixels), free(taps), free(channels), free(added), free(sound), free(mean), free(variance);
  return NULL;
}

/* Arguments: the provider's path, prefix and suffix. */
int main(int count, char **arguments) {
  if (count != 4 || mlx_speak_blas_open(arguments[1], arguments[2], arguments[3], 2)) return 3;
  pthread_t other;
  if (pthread_create(&other, NULL, check, NULL)) return 3;
  check(NULL);
  pthread_join(other, NULL);
  puts("done");
  return 0;
}
