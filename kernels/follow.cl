// How buffers follow the batches: buffers = buffers + rates · (observed − buffers), in place; the same bits as
// nn/follow.py. Offsets are in elements.
//   GPU: global size (any,), work-items stride over the elements. CPU: one work-item per `each` elements.
#include "common.h"
#include "real.h"

ONE_ITEM_A_GROUP
__kernel void follow(const long n, const long each, __global real *restrict buffers, const long buffers_offset,
                     __global const real *restrict observed, const long observed_offset,
                     __global const real *restrict rates, const long rates_offset) {
  buffers += buffers_offset;
  observed += observed_offset;
  rates += rates_offset;
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, n), step = 1;
#else
  const long begin = get_global_id(0), end = n, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const real old = flushed(buffers[i]);
    const real distance = flushed(flushed(observed[i]) - old);
    buffers[i] = flushed(old + flushed(rates[i] * distance));
  }
}
