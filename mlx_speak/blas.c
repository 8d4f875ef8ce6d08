/* The BLAS that MLX's CPU backend calls on Linux, forwarded to a faster one.
 *
 * libmlx.so imports cblas_sgemm, cblas_dgemm and cblas_cgemm and nothing else of the CBLAS, and its
 * wheel brings the reference implementation (a few GFLOP/s). Loaded globally before it, this
 * library answers instead. blas.py compiles it and names the provider; two things are done better
 * than by passing the calls on:
 *
 * - Products of few rows, the steps of a decoder, are computed here: gemm repacks the matrix first,
 *   which costs six times the product itself, and gemv reads it once for every row.
 * - Threads share a product here rather than in the provider, so that a busy machine does no harm.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lanes.h"

/* The provider's integer: int, or int64_t for the ILP64 build that NumPy's wheel brings. */
#ifndef BLAS_INT
#define BLAS_INT int
#endif

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

/* Rows up to which repacking the matrix costs more than gemm then gains. */
enum { FEW_ROWS = 32 };

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
static int threads = 1;
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

  int (*get_threads)(void) =
      (int (*)(void))symbol(library, prefix, "openblas_get_num_threads", suffix);
  set_provider_threads =
      (void (*)(int))symbol(library, prefix, "openblas_set_num_threads", suffix);
  char *(*get_config)(void) = (char *(*)(void))symbol(library, prefix, "openblas_get_config", suffix);
  provider_threads = get_threads && set_provider_threads ? get_threads() : 0;
  threads = provider_threads < limit ? provider_threads : limit;
  snprintf(config, sizeof config, "%s", get_config ? get_config() : "");
  return 0;
}

/* Threads that share a large product; 0 if that is left to the provider. */
int mlx_speak_blas_threads(void) { return threads; }

/* The provider's own description of its build and the kernels it chose; empty if it has none. */
const char *mlx_speak_blas_config(void) { return config; }

/* A single-precision product, C = alpha op(A) op(B) + beta C, row major. */
typedef struct {
  int ta, tb, m, n, k, lda, ldb, ldc;
  float alpha, beta;
  const float *a, *b;
  float *c;
} product;

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

/* Rows and columns of C computed together: each number that is loaded is used so many times, and
 * the sums still fit the vector registers, of which AVX-512 has 32 and others 16. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 6 };
#else
enum { TILE_ROWS = 2, TILE_COLUMNS = 6 };
#endif

/* Floats of each row of B that are on their way from memory while others are multiplied. */
enum { AHEAD = 256 };

/* From so many rows on it pays to keep B's columns aligned for all but the first of them: MLX
 * aligns nothing, and what lies across two lines of the cache takes twice as long to load. The
 * longest columns that there is space for. */
enum { PACKED_ROWS = 12, PACKED_LENGTH = 8192 };

enum part { ONLY_ROWS, FIRST_ROWS, LATER_ROWS };

/* That many rows and columns of c = alpha a b' + beta c. Inlined, so that they are constants. Every
 * sum is taken in the same order, whatever the tile: a row does not depend on the others.
 * FIRST_ROWS leave what they load of B in `packed`, from where LATER_ROWS take it. */
__attribute__((always_inline)) static inline void tile(const product *p, int row, int column,
                                                       const int rows, const int columns,
                                                       const enum part part, lanes *packed) {
  const float *a = p->a + (size_t)row * p->lda, *b = p->b + (size_t)column * p->ldb;
  float *c = p->c + (size_t)row * p->ldc + column;
  lanes sums[TILE_ROWS][TILE_COLUMNS] = {0};
  int i = 0;
  for (; i + LANES <= p->k; i += LANES)
    for (int s = 0; s < columns; s++, packed++) {
      const float *from = b + (size_t)s * p->ldb + i;
      lanes y = part == LATER_ROWS ? *packed : load(from);
      if (part == FIRST_ROWS) *packed = y;
      if (row == 0) __builtin_prefetch(from + AHEAD); /* for later rows it is in the cache */
      for (int r = 0; r < rows; r++)
        sums[r][s] = multiply_add(load(a + (size_t)r * p->lda + i), y, sums[r][s]);
    }
  for (int r = 0; r < rows; r++)
    for (int s = 0; s < columns; s++) {
      float *out = c + (size_t)r * p->ldc + s, total = sum(sums[r][s]);
      for (int j = i; j < p->k; j++)
        total = multiply_add_one(a[(size_t)r * p->lda + j], b[(size_t)s * p->ldb + j], total);
      /* What MLX has not written must not be read: NaN times 0 is NaN. */
      *out = p->alpha * total + (p->beta == 0 ? 0 : p->beta * *out);
    }
}

static void compute_few_rows(const product *p) {
  lanes packed[PACKED_LENGTH / LANES * TILE_COLUMNS];
  /* For a single row memory is the limit, and it is read fastest from beginning to end. */
  int column = 0, tiled = p->m > 1 ? p->n / TILE_COLUMNS * TILE_COLUMNS : 0;
  int pack = p->m >= PACKED_ROWS && p->k <= PACKED_LENGTH;
  for (; column < tiled; column += TILE_COLUMNS) {
    int row = 0;
    if (pack) {
      tile(p, 0, column, TILE_ROWS, TILE_COLUMNS, FIRST_ROWS, packed);
      for (row = TILE_ROWS; row + TILE_ROWS <= p->m; row += TILE_ROWS)
        tile(p, row, column, TILE_ROWS, TILE_COLUMNS, LATER_ROWS, packed);
    }
    for (; row + TILE_ROWS <= p->m; row += TILE_ROWS)
      tile(p, row, column, TILE_ROWS, TILE_COLUMNS, ONLY_ROWS, packed);
    for (; row + 2 <= p->m; row += 2) tile(p, row, column, 2, TILE_COLUMNS, ONLY_ROWS, packed);
    for (; row < p->m; row++) tile(p, row, column, 1, TILE_COLUMNS, ONLY_ROWS, packed);
  }
  for (; column < p->n; column++)
    for (int row = 0; row < p->m; row++) tile(p, row, column, 1, 1, ONLY_ROWS, packed);
}

/* Whether the rows of both factors lie in memory as they are multiplied, and those of A are few. */
static int has_few_rows(const product *p) {
  int contiguous = p->ta == NO_TRANS || (p->m == 1 && p->lda == 1);
  return p->m <= FEW_ROWS && p->tb == TRANS && contiguous;
}

static int by_vectors(const product *p) { return p->m == 1 || p->n == 1 || has_few_rows(p); }

static void compute(const product *p) {
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

static void enter(void) {
  if (threads > 0 && atomic_fetch_add(&callers, 1) == 0) set_provider_threads(1);
}

static void leave(void) {
  if (threads > 0 && atomic_fetch_sub(&callers, 1) == 1) set_provider_threads(provider_threads);
}

/* The threads. Each takes the next part of the product at hand when it has done one, the caller
 * too: a thread that gets no core takes no part, and nobody waits for it. OpenBLAS's own threads
 * have equal shares and wait for each other many times a product, each time for a time slice if
 * another process has the core: on a busy machine it is then several times slower than with one
 * thread. One product at a time; a second caller computes its own alone. After a fork there are no
 * workers, and the caller does all. */
static struct {
  pthread_mutex_t owner, mutex;
  pthread_cond_t start, done;
  product whole;
  int part, by_columns, open, active; /* open to workers; workers at it */
  unsigned long number;
  atomic_int next, parts;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static void take_parts(void) {
  for (int i; (i = atomic_fetch_add(&pool.next, 1)) < pool.parts;) {
    product p = (pool.by_columns ? columns_of : rows_of)(pool.whole, i * pool.part, pool.part);
    compute(&p);
  }
}

static void *worker(void *unused) {
  (void)unused;
  pthread_mutex_lock(&pool.mutex);
  for (unsigned long seen = 0;;) {
    while (!pool.open || pool.number == seen) pthread_cond_wait(&pool.start, &pool.mutex);
    seen = pool.number;
    pool.active++;
    pthread_mutex_unlock(&pool.mutex);
    take_parts();
    pthread_mutex_lock(&pool.mutex);
    if (--pool.active == 0) pthread_cond_signal(&pool.done);
  }
  return NULL;
}

static void start_workers(void) {
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, NULL) == 0) pthread_detach(thread);
  }
}

static void compute_on_threads(const product *p, int part, int by_columns) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (pthread_mutex_trylock(&pool.owner)) { /* another thread of MLX is at it */
    compute(p);
    return;
  }
  pthread_once(&once, start_workers);
  pthread_mutex_lock(&pool.mutex);
  pool.whole = *p;
  pool.part = part;
  pool.by_columns = by_columns;
  pool.next = 0;
  pool.parts = ((by_columns ? p->n : p->m) + part - 1) / part;
  pool.number++;
  pool.open = 1;
  pthread_cond_broadcast(&pool.start);
  pthread_mutex_unlock(&pool.mutex);
  take_parts();
  pthread_mutex_lock(&pool.mutex);
  pool.open = 0; /* who wakes only now must not see the next product half written */
  while (pool.active) pthread_cond_wait(&pool.done, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
  pthread_mutex_unlock(&pool.owner);
}

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
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
  if (threads < 2 || part >= longer || (int64_t)m * n * k <= (vectors ? SMALL_GEMV : SMALL_PRODUCT))
    compute(&p);
  else
    compute_on_threads(&p, part, columns);
  leave();
}

void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                 int lda, const double *b, int ldb, double beta, double *c, int ldc) {
  provider_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                 int lda, const void *b, int ldb, const void *beta, void *c, int ldc) {
  provider_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
