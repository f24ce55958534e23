// What reduction_cpu.cl and variance_cpu.cl share. Every kernel has global size (blocks of outputs, chunks), one work-item
// a group. See reduction.h for what is reduced.
//   rows     an item walks along the reduced axes, `each` outputs in turn; 32 sums side by side where they are dense.
//   columns  the kept axes end in a dense one: an item has `each` neighbouring outputs, the inner loop runs over them.
#include "reduction.h"
#include "turn.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define WIDTH 8192   // columns: memory likes long pieces of rows
#define JOINED 1024  // columns of rows that are taken several at a time
#define BLOCK 2048   // elements of a row
#define SHORT 64     // the same, of rows that are taken eight at once
#define VECTORISE _Pragma("clang loop vectorize(assume_safety)")
typedef JOIN(T_IN, 8) dense_in;
typedef dense_in vector_in __attribute__((aligned(sizeof(T_IN))));

// Where an item of columns begins: `width` outputs from o, of which the first is at `from`.
#define BEGIN_COLUMNS                                                                                    \
  const long begin = get_global_id(1) * chunk;                                                           \
  const long end = min(begin + chunk, reduced_count);                                                    \
  const long across = kept_extent[kept_ndim - 1];                                                    \
  const long blocks = (across + each - 1) / each;                                                        \
  const long first = get_global_id(0) % blocks * each;                                                   \
  const int width = (int)min(each, across - first);                                                      \
  const long o = get_global_id(0) / blocks * across + first;                                             \
  __global const T_IN *from = x + x_offset + POSITION(kept, o);

// Eight dense rows of n elements, of which the first begins at `from` and each is `next` from the one before: EACH(i, v) for
// the vectors v of their elements i.
#define READ_ROW(row) const dense_in r##row = *(__global const vector_in *)(from + row * next + place);
#define ELEMENT(row) from[row * next + place]
#define EIGHT_ROWS(EACH)                                                                                 \
  int place = 0;                                                                                         \
  for (; place + 8 <= n; place += 8) {                                                                   \
    READ_ROW(0) READ_ROW(1) READ_ROW(2) READ_ROW(3) READ_ROW(4) READ_ROW(5) READ_ROW(6) READ_ROW(7)      \
    TURN(dense_in)                                                                                       \
    EACH(place, c0) EACH(place + 1, c1) EACH(place + 2, c2) EACH(place + 3, c3)                          \
    EACH(place + 4, c4) EACH(place + 5, c5) EACH(place + 6, c6) EACH(place + 7, c7)                      \
  }                                                                                                      \
  for (; place < n; ++place) {                                                                           \
    const dense_in raw = (dense_in)(ELEMENT(0), ELEMENT(1), ELEMENT(2), ELEMENT(3),                      \
                                    ELEMENT(4), ELEMENT(5), ELEMENT(6), ELEMENT(7));                     \
    EACH(place, raw)                                                                                     \
  }
