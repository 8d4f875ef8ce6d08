/* The BLAS that MLX's CPU backend calls on Linux, forwarded to a faster one.
 *
 * libmlx.so imports cblas_sgemm, cblas_dgemm and cblas_cgemm and nothing else of the CBLAS, and its
 * wheel brings the reference implementation (a few GFLOP/s). Loaded globally before it, this
 * library answers instead. blas.py compiles it and names the provider; two things are done better
 * than by passing the calls on: products of few rows are computed here (few_rows.h), and threads
 * share a product here rather than in the provider (pool.c), so that a busy machine does no harm.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "few_rows.h"
#include "library.h"
#include "pool.h"

/* The provider's integer: int, or int64_t for the ILP64 build that NumPy's wheel brings. */
#ifndef BLAS_INT
#define BLAS_INT int
#endif

enum { ROW_MAJOR = 101 };

/* Multiply-adds up to which a product stays on one thread: less than 0.1 ms. */
enum { SMALL_PRODUCT = 1 << 22, SMALL_GEMV = 1 << 20 };

/* Parts that a product is cut into for each thread. In gemm each repacks the matrix they share. */
enum { GEMM_PARTS = 2, VECTOR_PARTS = 8, PART_MULTIPLE = 64 };

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
static void (*set_provider_threads)(int);
static int provider_threads;
static int threads = 1; /* 0 if they are left to the provider */
static char config[256];

static void *symbol(void *library, const char *prefix, const char *name, const char *suffix) {
  char full[128];
  snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
  return dlsym(library, full);
}

/* Use the library at `path`, whose functions are called prefix + name + suffix, with at most
 * `limit` threads. Returns 0, or -1 if it is not a CBLAS. */
PUBLIC int mlx_speak_blas_open(const char *path, const char *prefix, const char *suffix, int limit) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return -1;
  provider_sgemm = (sgemm_t *)symbol(library, prefix, "cblas_sgemm", suffix);
  provider_dgemm = (dgemm_t *)symbol(library, prefix, "cblas_dgemm", suffix);
  provider_cgemm = (cgemm_t *)symbol(library, prefix, "cblas_cgemm", suffix);
  provider_sgemv = (sgemv_t *)symbol(library, prefix, "cblas_sgemv", suffix);
  if (!provider_sgemm || !provider_dgemm || !provider_cgemm || !provider_sgemv) return -1;

  int (*count)(void) = (int (*)(void))symbol(library, prefix, "openblas_get_num_threads", suffix);
  set_provider_threads =
      (void (*)(int))symbol(library, prefix, "openblas_set_num_threads", suffix);
  char *(*get_config)(void) = (char *(*)(void))symbol(library, prefix, "openblas_get_config", suffix);
  provider_threads = count && set_provider_threads ? count() : 0;
  threads = provider_threads < limit ? provider_threads : limit;
  set_threads(threads > 0 ? threads : 1);
  snprintf(config, sizeof config, "%s", get_config ? get_config() : "");
  return 0;
}

/* Threads that share a large product; 0 if that is left to the provider. */
PUBLIC int mlx_speak_blas_threads(void) { return threads; }

/* The provider's own description of its build and the kernels it chose; empty if it has none. */
PUBLIC const char *mlx_speak_blas_config(void) { return config; }

/* The rows from `first` on, at most `count` of them. */
static product rows_of(product p, int first, int count) {
  p.a += (size_t)first * (p.ta == NO_TRANS ? p.lda : 1);
  p.c += (size_t)first * p.ldc;
  p.m = p.m - first < count ? p.m - first : count;
  return p;
}

/* The columns from `first` on, at most `count` of them. */
static product columns_of(product p, int first, int count) {
  p.b += (size_t)first * (p.tb == NO_TRANS ? 1 : p.ldb);
  p.c += first;
  p.n = p.n - first < count ? p.n - first : count;
  return p;
}

/* y = alpha op(M) x + beta y, for op(M) with `length` rows. */
static void gemv(int trans, int length, int k, float alpha, const float *matrix, int ld,
                 const float *x, int step_x, float beta, float *y, int step_y) {
  /* gemv multiplies what it finds in y even by 0, and NaN · 0 is NaN. */
  if (beta == 0)
    for (int i = 0; i < length; i++) y[(size_t)i * step_y] = 0;
  provider_sgemv(ROW_MAJOR, trans, trans == NO_TRANS ? length : k, trans == NO_TRANS ? k : length,
                 alpha, matrix, ld, x, step_x, beta, y, step_y);
}

/* Whether the rows of both factors lie in memory as they are multiplied, and those of A are few. */
static int has_few_rows(const product *p) {
  int contiguous = p->ta == NO_TRANS || (p->m == 1 && p->lda == 1);
  return p->m <= FEW_ROWS && p->tb == TRANS && contiguous;
}

static int by_vectors(const product *p) { return p->m == 1 || p->n == 1 || has_few_rows(p); }

void compute(const product *p) {
  int step_a = p->ta == NO_TRANS ? 1 : p->lda, step_b = p->tb == NO_TRANS ? p->ldb : 1;
  if (has_few_rows(p)) {
    compute_few_rows(p);
  } else if (p->m == 1) { /* c = op(B)' a */
    gemv(p->tb == NO_TRANS ? TRANS : NO_TRANS, p->n, p->k, p->alpha, p->b, p->ldb, p->a, step_a,
         p->beta, p->c, 1);
  } else if (p->n == 1) { /* c = op(A) b */
    gemv(p->ta, p->m, p->k, p->alpha, p->a, p->lda, p->b, step_b, p->beta, p->c, p->ldc);
  } else {
    provider_sgemm(ROW_MAJOR, p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb,
                   p->beta, p->c, p->ldc);
  }
}

/* While we share products ourselves, the provider is to use one thread for each of our calls. Its
 * setting is put back after, for others may use the same library: NumPy does, where it is NumPy's. */
static atomic_int callers;

void enter(void) {
  if (threads > 0 && atomic_fetch_add(&callers, 1) == 0) set_provider_threads(1);
}

void leave(void) {
  if (threads > 0 && atomic_fetch_sub(&callers, 1) == 1) set_provider_threads(provider_threads);
}

static void compute_rows(const void *work, int first, int count) {
  product p = rows_of(*(const product *)work, first, count);
  compute(&p);
}

static void compute_columns(const void *work, int first, int count) {
  product p = columns_of(*(const product *)work, first, count);
  compute(&p);
}

PUBLIC void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  if (order != ROW_MAJOR || m < 1 || n < 1 || k < 1) {
    provider_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    return;
  }
  enter();
  product p = {ta, tb, m, n, k, lda, ldb, ldc, alpha, beta, a, b, c};
  int vectors = by_vectors(&p), columns = vectors ? n > 1 : n > m, longer = columns ? n : m;
  int parts = (vectors ? VECTOR_PARTS : GEMM_PARTS) * (threads > 0 ? threads : 1);
  int part = (longer + parts - 1) / parts; /* equal shares, where they can be */
  part = (part + PART_MULTIPLE - 1) / PART_MULTIPLE * PART_MULTIPLE;
  if (threads < 2 || (int64_t)m * n * k <= (vectors ? SMALL_GEMV : SMALL_PRODUCT))
    compute(&p);
  else
    share(columns ? compute_columns : compute_rows, &p, longer, part);
  leave();
}

PUBLIC void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                 int lda, const double *b, int ldb, double beta, double *c, int ldc) {
  provider_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

PUBLIC void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                 int lda, const void *b, int ldb, const void *beta, void *c, int ldc) {
  provider_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
