/* Products of few rows, the steps of a decoder, in single precision.
 *
 * gemm repacks the matrix first, which costs six times the product itself, and gemv reads it once
 * for every row. */
#ifndef MLX_SPEAK_FEW_ROWS_H
#define MLX_SPEAK_FEW_ROWS_H
#include <stddef.h>

#include "lanes.h"

/* Rows up to which repacking the matrix costs more than gemm then gains. */
enum { FEW_ROWS = 32 };

enum { NO_TRANS = 111, TRANS = 112 };

/* A single-precision product, C = alpha op(A) op(B) + beta C, row major. */
typedef struct {
  int ta, tb, m, n, k, lda, ldb, ldc;
  float alpha, beta;
  const float *a, *b;
  float *c;
} product;

/* In blas.c. Any product, on this thread, between `enter` and `leave`. */
void compute(const product *p);
void enter(void);
void leave(void);

/* Rows and columns of C computed together: each number that is loaded is used so many times, and
 * the sums still fit the vector registers, of which AVX-512 has 32 and others 16. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 6 };
#else
enum { TILE_ROWS = 2, TILE_COLUMNS = 6 };
#endif

/* Floats of each row of B that are on their way from memory while others are multiplied. */
enum { AHEAD = 512 };

/* From so many rows on it pays to keep B's columns aligned for all but the first of them: MLX
 * aligns nothing, and what lies across two lines of the cache takes twice as long to load. The
 * longest columns that there is space for. */
enum { PACKED_ROWS = 12, PACKED_LENGTH = 8192 };

static inline void store_product(const product *p, int row, int column, float total) {
  float *out = p->c + (size_t)row * p->ldc + column;
  /* What MLX has not written must not be read: NaN times 0 is NaN. */
  *out = p->alpha * total + (p->beta == 0 ? 0 : p->beta * *out);
}

enum part { ONLY_ROWS, FIRST_ROWS, LATER_ROWS };

/* That many rows and columns of c = alpha a b' + beta c. Inlined, so that they are constants. Every
 * sum is taken in the same order, whatever the tile: a row does not depend on the others.
 * FIRST_ROWS leave what they load of B in `packed`, from where LATER_ROWS take it. */
__attribute__((always_inline)) static inline void tile(const product *p, int row, int column,
                                                       const int rows, const int columns,
                                                       const enum part part, lanes *packed) {
  const float *a = p->a + (size_t)row * p->lda, *b = p->b + (size_t)column * p->ldb;
  lanes sums[TILE_ROWS][TILE_COLUMNS] = {0};
  int i = 0;
  for (; i + LANES <= p->k; i += LANES)
    for (int s = 0; s < columns; s++, packed++) {
      const float *from = b + (size_t)s * p->ldb + i;
      lanes y = part == LATER_ROWS ? *packed : load(from);
      if (part == FIRST_ROWS) *packed = y;
      if (row == 0) prefetch(from + AHEAD); /* for later rows it is in the cache */
      for (int r = 0; r < rows; r++)
        sums[r][s] = multiply_add(load(a + (size_t)r * p->lda + i), y, sums[r][s]);
    }
  for (int r = 0; r < rows; r++)
    for (int s = 0; s < columns; s++) {
      float total = sum(sums[r][s]);
      for (int j = i; j < p->k; j++)
        total = multiply_add_one(a[(size_t)r * p->lda + j], b[(size_t)s * p->ldb + j], total);
      store_product(p, row + r, column + s, total);
    }
}

/* c = alpha a b' + beta c for one row of A, whose length is a multiple of LANES. B is loaded from
 * where lines of the cache begin, so that each is loaded once, which takes a tenth less time where
 * memory is the limit. Its numbers then stand in other lanes, and are put back for their sum: it is
 * taken in the order of `tile`. */
static inline void single_row(const product *p) {
  int shift = (uintptr_t)p->b / sizeof(float) % LANES;
  float turned[2 * LANES], a[PACKED_LENGTH + LANES];
  memset(a, 0, LANES * sizeof *a);
  memset(a + p->k, 0, LANES * sizeof *a);
  memcpy(a + shift, p->a, p->k * sizeof *a);
  for (int column = 0; column < p->n; column++) {
    const float *b = p->b + (size_t)column * p->ldb - shift;
    lanes sums = multiply_add(load(a), load_between(b, shift, LANES), (lanes){0});
    for (int i = LANES; i < p->k; i += LANES) {
      prefetch(b + i + AHEAD);
      sums = multiply_add(load(a + i), load(b + i), sums);
    }
    sums = multiply_add(load(a + p->k), load_between(b + p->k, 0, shift), sums);
    memcpy(turned, &sums, sizeof sums);
    memcpy(turned + LANES, &sums, sizeof sums);
    store_product(p, 0, column, sum(load(turned + shift)));
  }
}

/* All of c = alpha a b' + beta c, for A and B whose rows lie in memory. */
static inline void compute_few_rows(const product *p) {
  lanes packed[PACKED_LENGTH / LANES * TILE_COLUMNS];
  /* For a single row memory is the limit, and it is read fastest from beginning to end. */
  int column = 0, tiled = p->m > 1 ? p->n / TILE_COLUMNS * TILE_COLUMNS : 0;
  if (p->m == 1 && p->k % LANES == 0 && p->ldb % LANES == 0 && p->k <= PACKED_LENGTH) {
    single_row(p);
    return;
  }
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
    switch (p->m - row) { /* fewer than TILE_ROWS */
      case 3: tile(p, row, column, TILE_ROWS - 1, TILE_COLUMNS, ONLY_ROWS, packed); break;
      case 2: tile(p, row, column, TILE_ROWS / 2, TILE_COLUMNS, ONLY_ROWS, packed); break;
      case 1: tile(p, row, column, 1, TILE_COLUMNS, ONLY_ROWS, packed); break;
    }
  }
  for (; column < p->n; column++)
    for (int row = 0; row < p->m; row++) tile(p, row, column, 1, 1, ONLY_ROWS, packed);
}

#endif
