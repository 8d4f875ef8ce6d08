/* Vectors of single-precision numbers, as wide as the processor's. */
#ifndef MLX_SPEAK_LANES_H
#define MLX_SPEAK_LANES_H
#include <math.h>
#include <stdint.h>
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

/* As many whole numbers. */
typedef uint8_t bytes __attribute__((vector_size(LANES)));

/* As floats; gcc makes the conversion number by number if it is left to it. */
static inline lanes widen(bytes v) {
#if defined(__AVX512F__)
  return (lanes)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)v));
#elif defined(__AVX2__)
  return (lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(&v)));
#else
  return __builtin_convertvector(v, lanes);
#endif
}

/* Those from the `first` to before the `last`, the only ones that are read; the others are 0. */
static inline lanes load_between(const float *p, int first, int last) {
#if defined(__AVX512F__)
  return (lanes)_mm512_maskz_loadu_ps((__mmask16)((1u << last) - (1u << first)), p);
#elif defined(__AVX__)
  static const int ones[3 * LANES] = {[LANES ... 2 * LANES - 1] = -1};
  __m256i from = _mm256_loadu_si256((const __m256i *)(ones + LANES - first));
  __m256i to = _mm256_loadu_si256((const __m256i *)(ones + 2 * LANES - last));
  return (lanes)_mm256_maskload_ps(p, (__m256i)((__v8si)from & (__v8si)to));
#else
  lanes v = {0};
  for (int i = first; i < last; i++) v[i] = p[i];
  return v;
#endif
}

/* Into the second-level cache: of the first one's few reads under way none is taken. */
static inline void prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

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

typedef float quarters __attribute__((vector_size(4 * sizeof(float))));

/* The numbers of v four by four, added up. */
static inline quarters fold(const lanes *v) {
  quarters parts[LANES / 4], total = {0};
  memcpy(parts, v, sizeof *v);
  for (int i = 0; i < LANES / 4; i++) total += parts[i];
  return total;
}

static inline float sum(lanes v) {
  quarters total = fold(&v);
  return (total[0] + total[1]) + (total[2] + total[3]);
}

/* The sums of four vectors in memory, in less time than one by one. */
static inline void sum_four(const lanes v[4], float out[4]) {
#if defined(__SSE3__)
  __m128 low = _mm_hadd_ps((__m128)fold(v), (__m128)fold(v + 1));
  _mm_storeu_ps(out, _mm_hadd_ps(low, _mm_hadd_ps((__m128)fold(v + 2), (__m128)fold(v + 3))));
#else
  for (int i = 0; i < 4; i++) out[i] = sum(v[i]);
#endif
}

static inline float dot(int length, const float *a, const float *b) {
  lanes sums = {0};
  int i = 0;
  for (; i + LANES <= length; i += LANES) sums = multiply_add(load(a + i), load(b + i), sums);
  float total = sum(sums);
  for (; i < length; i++) total += a[i] * b[i];
  return total;
}

#endif
