/* Vectors of single-precision numbers, as wide as the processor's. */
#ifndef MLX_SPEAK_LANES_H
#define MLX_SPEAK_LANES_H
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* As many floats as a vector register holds. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static inline lanes load(const float *p) {
  lanes v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* a b + c, rounded once where the processor can. Left to itself the compiler does that in one loop
 * and not in the next (on AMD's processors), and the sums would depend on the tile. */
static inline lanes multiply_add(lanes a, lanes b, lanes c) {
#if defined(__AVX512F__)
  return (lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX__) && defined(__FMA__)
  return (lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

static inline float multiply_add_one(float a, float b, float c) {
#ifdef FP_FAST_FMAF
  return fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

static inline float sum(lanes v) {
  typedef float quarters __attribute__((vector_size(4 * sizeof(float))));
  quarters parts[LANES / 4], total = {0};
  memcpy(parts, &v, sizeof v);
  for (int i = 0; i < LANES / 4; i++) total += parts[i];
  return (total[0] + total[1]) + (total[2] + total[3]);
}

#endif
