// How buffers follow the batches: buffers = buffers + rates · (observed − buffers), in place; the same bits as
// nn/follow.py. Every result that is denormal, or −0, becomes +0. Offsets are in elements.
//   GPU: global size (any,), work-items stride over the elements. CPU: one work-item per `each` elements.
#include "common.h"

// An exponent of 0 is that of zeros and denormals. (Through fabs the loop is not vectorised by PoCL 3.0.)
float flushed(float x) { return as_float((as_uint(x) & 0x7f800000u) ? as_uint(x) : 0u); }

ONE_ITEM_A_GROUP
__kernel void follow(const long n, const long each, __global float *restrict buffers, const long buffers_offset,
                     __global const float *restrict observed, const long observed_offset,
                     __global const float *restrict rates, const long rates_offset) {
  buffers += buffers_offset;
  observed += observed_offset;
  rates += rates_offset;
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, n), step = 1;
#else
  const long begin = get_global_id(0), end = n, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const float old = flushed(buffers[i]);
    const float distance = flushed(flushed(observed[i]) - old);
    buffers[i] = flushed(old + flushed(rates[i] * distance));
  }
}
