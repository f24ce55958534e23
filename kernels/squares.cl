// The sum of a vector's squares in an order of its own, so that every device gives the same bits as NumPy's form
// (nn/optimizers/norm.py): chunks of 256 rows of 16, each column of a chunk summed from top to bottom.
//
// out[16 c + j] = Σ over i of f(x[4096 c + 16 i + j]), f(x) = x² with SQUARES, else x; nothing past the end
//   GPU: global size (16 · chunks,). CPU: global size (chunks,).
#include "common.h"
#include "real.h"

#if SQUARES
#define TERM(X) flushed(flushed(X) * flushed(X))
#else
#define TERM(X) (X)
#endif

ONE_ITEM_A_GROUP
__kernel void columns_of_16(const long n, __global const real *restrict x, const long x_offset,
                            __global real *restrict out) {
  x += x_offset;
#if CPU
  const long chunk = get_global_id(0);
  const long begin = chunk * 4096, end = min(begin + 4096, n);
  real sums[16];
  for (int j = 0; j < 16; ++j) sums[j] = 0;
  long at = begin;
  for (; at + 16 <= end; at += 16)
    for (int j = 0; j < 16; ++j) sums[j] = flushed(sums[j] + TERM(x[at + j]));
  for (int j = 0; at + j < end; ++j) sums[j] = flushed(sums[j] + TERM(x[at + j]));
  for (int j = 0; j < 16; ++j) out[chunk * 16 + j] = sums[j];
#else
  const long chunk = get_global_id(0) / 16, column = get_global_id(0) % 16;
  const long end = min((chunk + 1) * 4096, n);
  real sum = 0;
  for (long at = chunk * 4096 + column; at < end; at += 16) sum = flushed(sum + TERM(x[at]));
  out[get_global_id(0)] = sum;
#endif
}
