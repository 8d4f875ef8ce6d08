/* Products of few rows, the steps of a decoder, in single precision.
 *
 * gemm repacks the matrix first, which costs six times the product itself, and gemv reads it once
 * for every row. */
#ifndef MLX_SPEAK_FEW_ROWS_H
#define MLX_SPEAK_FEW_ROWS_H
#include <stddef.h>

#include "lanes.h"

/* Rows up to which repacking the matrix costs more than gemm then gains. */
enum { FEW_ROWS = 64 };

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
enum { AHEAD = 1024 };

/* From so many rows on A is packed: tile by tile, so that it is loaded from one place. Of B so many
 * numbers of a tile's columns are packed at a time, which the first cache then holds while all rows
 * are multiplied by them. MLX aligns nothing, and what lies across two lines of the cache takes
 * twice as long to load. The longest rows that there is space for. */
enum { PACKED_ROWS = 4, BLOCK = 512, PACKED_LENGTH = 8192 };

static inline void store_product(const product *p, int row, int column, float total) {
  float *out = p->c + (size_t)row * p->ldc + column;
  /* What MLX has not written must not be read: NaN times 0 is NaN. */
  *out = p->alpha * total + (p->beta == 0 ? 0 : p->beta * *out);
}

/* That many rows and columns of c = alpha a b' + beta c. Inlined, so that they are constants. Every
 * sum is taken in the same order, whatever the tile, here and below: a row does not depend on the
 * others. */
__attribute__((always_inline)) static inline void tile(const product *p, int row, int column,
                                                       const int rows, const int columns) {
  const float *a = p->a + (size_t)row * p->lda, *b = p->b + (size_t)column * p->ldb;
  lanes sums[TILE_ROWS][TILE_COLUMNS] = {0};
  int i = 0;
  for (; i + LANES <= p->k; i += LANES)
    for (int s = 0; s < columns; s++) {
      lanes y = load(b + (size_t)s * p->ldb + i);
      if (row == 0) prefetch(b + (size_t)s * p->ldb + i + AHEAD); /* later it is in the cache */
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

/* All rows of that many columns. */
__attribute__((always_inline)) static inline void tiles(const product *p, int column,
                                                        const int columns) {
  int row = 0;
  for (; row + TILE_ROWS <= p->m; row += TILE_ROWS) tile(p, row, column, TILE_ROWS, columns);
  switch (p->m - row) { /* fewer than TILE_ROWS */
    case 3: tile(p, row, column, TILE_ROWS - 1, columns); break;
    case 2: tile(p, row, column, TILE_ROWS / 2, columns); break;
    case 1: tile(p, row, column, 1, columns); break;
  }
}

/* What a tile's sums are taken of: BLOCK numbers, or what is left. */
typedef struct {
  const lanes *a;  /* (length, TILE_ROWS) */
  const float *b;  /* (TILE_COLUMNS, ldb) */
  lanes *packed;   /* (length, TILE_COLUMNS): b, once the first tile has been here */
  lanes *sums;     /* (TILE_ROWS, TILE_COLUMNS), which are added to */
  int length, ldb; /* in LANES, in floats */
  int index, of;   /* which of how many tiles that take this b */
} block;

/* Adds a block's products to a tile's sums. Inlined, so that `rows` and `first` are constants: the
 * first tile packs b. Each tile has its share of the next columns brought into the cache: if the
 * first asked for all, all others would leave the memory idle. */
__attribute__((always_inline)) static inline void add_block(const block *o, const int rows,
                                                            const int first) {
  lanes sums[TILE_ROWS][TILE_COLUMNS];
  for (int r = 0; r < rows; r++)
    for (int s = 0; s < TILE_COLUMNS; s++) sums[r][s] = o->sums[r * TILE_COLUMNS + s];
  const lanes *a = o->a;
  lanes *packed = o->packed;
  for (int i = 0; i < o->length; i++, a += TILE_ROWS) {
    for (int s = o->index; s < TILE_COLUMNS; s += o->of)
      prefetch(o->b + (size_t)(TILE_COLUMNS + s) * o->ldb + i * LANES);
    for (int s = 0; s < TILE_COLUMNS; s++, packed++) {
      if (first) *packed = load(o->b + (size_t)s * o->ldb + i * LANES);
      for (int r = 0; r < rows; r++) sums[r][s] = multiply_add(a[r], *packed, sums[r][s]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int s = 0; s < TILE_COLUMNS; s++) o->sums[r * TILE_COLUMNS + s] = sums[r][s];
}

__attribute__((always_inline)) static inline void add_block_of(const block *o, int rows,
                                                               const int first) {
  if (rows >= TILE_ROWS) {
    add_block(o, TILE_ROWS, first);
    return;
  }
  switch (rows) {
    case 3: add_block(o, TILE_ROWS - 1, first); break;
    case 2: add_block(o, TILE_ROWS / 2, first); break;
    default: add_block(o, 1, first);
  }
}

/* All rows of the columns from `column` on, TILE_COLUMNS of them.
 *
 * a: (tiles, k / LANES, TILE_ROWS). */
static inline void packed_tiles(const product *p, const lanes *a, int column) {
  int count = (p->m + TILE_ROWS - 1) / TILE_ROWS;
  lanes packed[BLOCK / LANES * TILE_COLUMNS], sums[count][TILE_ROWS * TILE_COLUMNS];
  memset(sums, 0, sizeof sums);
  for (int at = 0; at < p->k; at += BLOCK) {
    int length = (p->k - at < BLOCK ? p->k - at : BLOCK) / LANES;
    for (int t = 0; t < count; t++) {
      const lanes *rows = a + (t * (size_t)p->k + at) / LANES * TILE_ROWS;
      const float *columns = p->b + (size_t)column * p->ldb + at;
      block o = {rows, columns, packed, sums[t], length, p->ldb, t, count};
      if (t == 0)
        add_block_of(&o, p->m, 1);
      else
        add_block_of(&o, p->m - t * TILE_ROWS, 0);
    }
  }
  for (int t = 0; t < count; t++) {
    float totals[TILE_ROWS * TILE_COLUMNS];
    for (int i = 0; i < TILE_ROWS * TILE_COLUMNS; i += 4) sum_four(sums[t] + i, totals + i);
    for (int r = 0; r < TILE_ROWS && t * TILE_ROWS + r < p->m; r++)
      for (int s = 0; s < TILE_COLUMNS; s++)
        store_product(p, t * TILE_ROWS + r, column + s, totals[r * TILE_COLUMNS + s]);
  }
}

/* As many columns of c = alpha a b' + beta c as fill tiles. Returns how many. */
static inline int compute_packed(const product *p) {
  int count = (p->m + TILE_ROWS - 1) / TILE_ROWS, column = 0;
  lanes a[(size_t)count * TILE_ROWS * p->k / LANES];
  for (int row = 0; row < p->m; row++) {
    lanes *to = a + row / TILE_ROWS * TILE_ROWS * (size_t)(p->k / LANES) + row % TILE_ROWS;
    for (int i = 0; i < p->k; i += LANES, to += TILE_ROWS)
      *to = load(p->a + (size_t)row * p->lda + i);
  }
  for (; column + TILE_COLUMNS <= p->n; column += TILE_COLUMNS) packed_tiles(p, a, column);
  return column;
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
  int fits = p->k % LANES == 0 && p->k <= PACKED_LENGTH, column = 0;
  if (p->m == 1 && fits && p->ldb % LANES == 0) {
    single_row(p);
    return;
  }
  if (p->m >= PACKED_ROWS && fits) column = compute_packed(p);
  /* For a single row memory is the limit, and it is read fastest from beginning to end. */
  for (; p->m > 1 && column + TILE_COLUMNS <= p->n; column += TILE_COLUMNS)
    tiles(p, column, TILE_COLUMNS);
  for (; column < p->n; column++) tiles(p, column, 1);
}

#endif
