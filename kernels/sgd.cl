// Updates of a network's flat vectors, in place; the same bits as _sgd_numpy of nn/optimizers.py and nn/follow.py.
//
// velocity = momentum · velocity + (gradient + weight_decay · vector)
// vector   = vector − lr · velocity
// follow: buffers = buffers + rates · (observed − buffers)
//   Every result that is denormal, or −0, becomes +0. Offsets are in elements; `rate` holds lr.
//   GPU: global size (any,), work-items stride over the elements. CPU: one work-item per `each` elements.
#include "common.h"

// An exponent of 0 is that of zeros and denormals. (Through fabs the loop is not vectorised by PoCL 3.0.)
float flushed(float x) { return as_float((as_uint(x) & 0x7f800000u) ? as_uint(x) : 0u); }

ONE_ITEM_A_GROUP
__kernel void sgd(const long n, const long each, __global float *restrict vector, const long vector_offset,
                  __global float *restrict velocity, const long velocity_offset,
                  __global const float *restrict gradient, const long gradient_offset,
                  __global const float *restrict rate, const float momentum, const float weight_decay) {
  vector += vector_offset;
  velocity += velocity_offset;
  gradient += gradient_offset;
  const float lr = rate[0];
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, n), step = 1;
#else
  const long begin = get_global_id(0), end = n, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const float w = flushed(vector[i]);
    const float slope = flushed(flushed(gradient[i]) + flushed(weight_decay * w));
    const float v = flushed(flushed(momentum * flushed(velocity[i])) + slope);
    velocity[i] = v;
    vector[i] = flushed(w - flushed(lr * v));
  }
}

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
