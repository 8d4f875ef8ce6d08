/* The BLAS that MLX's CPU backend calls on Linux, forwarded to a faster one.
 *
 * libmlx.so imports cblas_sgemm, cblas_dgemm and cblas_cgemm and nothing else of the CBLAS, and its
 * wheel brings the reference implementation (2 GFLOP/s a core). Loaded globally before it, this
 * library answers instead. blas.py compiles it and names the provider; two things are done better
 * than by passing the calls on:
 *
 * - Products of one row, or of few rows with a large matrix, are sent to gemv. gemm repacks the
 *   matrix first, which costs six times the product itself.
 * - Small products stay on one thread: waking a second one gains little, and costs a time slice
 *   when another process has the core.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The provider's integer: int, or int64_t for the ILP64 build that NumPy's wheel brings. */
#ifndef BLAS_INT
#define BLAS_INT int
#endif

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

/* Rows that are each worth a gemv of their own, when the matrix has at least so many elements. */
enum { FEW_ROWS = 4, LARGE_MATRIX = 300 * 1000 };

/* Multiply-adds below which a product stays on one thread: about 0.1 ms. */
enum { SMALL_PRODUCT = 1 << 22 };

typedef void sgemm_t(int, int, int, BLAS_INT, BLAS_INT, BLAS_INT, float, const float *, BLAS_INT,
                     const float *, BLAS_INT, float, float *, BLAS_INT);
typedef void dgemm_t(int, int, int, BLAS_INT, BLAS_INT, BLAS_INT, double, const double *, BLAS_INT,
                     const double *, BLAS_INT, double, double *, BLAS_INT);
typedef void cgemm_t(int, int, int, BLAS_INT, BLAS_INT, BLAS_INT, const void *, const void *,
                     BLAS_INT, const void *, BLAS_INT, const void *, void *, BLAS_INT);
typedef void sgemv_t(int, int, BLAS_INT, BLAS_INT, float, const float *, BLAS_INT, const float *,
                     BLAS_INT, float, float *, BLAS_INT);

static sgemm_t *provider_sgemm;
static dgemm_t *provider_dgemm;
static cgemm_t *provider_cgemm;
static sgemv_t *provider_sgemv;
static void (*set_threads)(int); /* NULL where the provider has no such function */
static int threads;
static char config[256];

static void *symbol(void *library, const char *prefix, const char *name, const char *suffix) {
  char full[128];
  snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
  return dlsym(library, full);
}

/* Use the library at `path`, whose functions are called prefix + name + suffix, with at most
 * `limit` threads. Returns 0, or -1 if it is not a CBLAS. */
int mlx_speak_blas_open(const char *path, const char *prefix, const char *suffix, int limit) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return -1;
  provider_sgemm = (sgemm_t *)symbol(library, prefix, "cblas_sgemm", suffix);
  provider_dgemm = (dgemm_t *)symbol(library, prefix, "cblas_dgemm", suffix);
  provider_cgemm = (cgemm_t *)symbol(library, prefix, "cblas_cgemm", suffix);
  provider_sgemv = (sgemv_t *)symbol(library, prefix, "cblas_sgemv", suffix);
  if (!provider_sgemm || !provider_dgemm || !provider_cgemm || !provider_sgemv) return -1;

  set_threads = (void (*)(int))symbol(library, prefix, "openblas_set_num_threads", suffix);
  int (*get_threads)(void) =
      (int (*)(void))symbol(library, prefix, "openblas_get_num_threads", suffix);
  char *(*get_config)(void) = (char *(*)(void))symbol(library, prefix, "openblas_get_config", suffix);
  if (!get_threads) set_threads = NULL;
  if (set_threads) {
    threads = get_threads();
    if (threads > limit) set_threads(threads = limit);
  }
  snprintf(config, sizeof config, "%s", get_config ? get_config() : "");
  return 0;
}

/* Threads used for large products; 0 if the provider does not say. */
int mlx_speak_blas_threads(void) { return threads; }

/* The provider's own description of its build and the kernels it chose; empty if it has none. */
const char *mlx_speak_blas_config(void) { return config; }

static void sgemm_by_vectors(int ta, int tb, int m, int n, int k, float alpha, const float *a,
                             int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  /* One column, C = op(A) b, or row by row: c = op(B)' a. */
  int column = n == 1 && m > 1;
  for (int row = 0; row < (column ? 1 : m); row++) {
    float *y = c + (size_t)row * ldc;
    int length = column ? m : n, step = column ? ldc : 1;
    /* gemv multiplies what it finds in y even by 0, and NaN · 0 is NaN. */
    if (beta == 0)
      for (int i = 0; i < length; i++) y[(size_t)i * step] = 0;
    if (column)
      provider_sgemv(ROW_MAJOR, ta, ta == NO_TRANS ? m : k, ta == NO_TRANS ? k : m, alpha, a, lda,
                     b, tb == NO_TRANS ? ldb : 1, beta, y, step);
    else
      provider_sgemv(ROW_MAJOR, tb == NO_TRANS ? TRANS : NO_TRANS, tb == NO_TRANS ? k : n,
                     tb == NO_TRANS ? n : k, alpha, b, ldb,
                     ta == NO_TRANS ? a + (size_t)row * lda : a + row, ta == NO_TRANS ? 1 : lda,
                     beta, y, step);
  }
}

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  int vectors = m == 1 || n == 1 || (m <= FEW_ROWS && (int64_t)n * k >= LARGE_MATRIX);
  if (order == ROW_MAJOR && vectors && m > 0 && n > 0 && k > 0) {
    sgemm_by_vectors(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    return;
  }
  int small = set_threads && threads > 1 && (int64_t)m * n * k <= SMALL_PRODUCT;
  if (small) set_threads(1);
  provider_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (small) set_threads(threads);
}

void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                 int lda, const double *b, int ldb, double beta, double *c, int ldc) {
  provider_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                 int lda, const void *b, int ldb, const void *beta, void *c, int ldc) {
  provider_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
