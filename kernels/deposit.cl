// Several gradients stored in their places of one flat vector by one launch, or added to what is there.
//   Global size (items, sources). GPU: items stride over a source's elements. CPU: an item takes `each` of them.
// A source is a buffer, an offset there, where its place in `target` begins, and its size; all count elements.
#include "common.h"
#include "real.h"

#define SOURCE(n) , __global const real *restrict from##n, const long offset##n, const long begin##n, const long size##n
#define CASE(n) case n: source = from##n + offset##n; begin = begin##n; size = size##n; break;

ONE_ITEM_A_GROUP
__kernel void deposit(__global real *restrict target, const long target_offset, const int accumulate, const long each
                      SOURCE(0) SOURCE(1) SOURCE(2) SOURCE(3) SOURCE(4) SOURCE(5) SOURCE(6) SOURCE(7)) {
  __global const real *source = from0 + offset0;
  long begin = begin0, size = size0;
  switch (get_global_id(1)) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) }
  __global real *to = target + target_offset + begin;
#if CPU
  const long first = get_global_id(0) * each, end = min(first + each, size), step = 1;
#else
  const long first = get_global_id(0), end = size, step = get_global_size(0);
#endif
  if (accumulate)
    for (long i = first; i < end; i += step) to[i] += source[i];
  else
    for (long i = first; i < end; i += step) to[i] = source[i];
}
