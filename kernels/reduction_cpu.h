// What reduction_cpu.cl and variance_cpu.cl share. Every kernel has global size (blocks of outputs, chunks), one work-item
// a group. See reduction.h for what is reduced.
//   rows     an item walks along the reduced axes, `each` outputs in turn; 32 sums side by side where they are dense.
//   columns  the kept axes end in a dense one: an item has `each` neighbouring outputs, the inner loop runs over them.
#include "reduction.h"

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
