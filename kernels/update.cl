// An optimizer's step over a network's flat vectors, in place; the same bits as NumPy's form (nn/optimizers/rule.py).
//
// Defines, made from the rule: ARGUMENTS the vectors of its state · POINTERS moves each by its offset · NUMBERS and
// LOADS its inputs as floats · RULE one rounded operation a statement · STORES what it changes
//   update   vector and state by the gradient. GPU: global size (any,), work-items stride over the elements. CPU: one
//            work-item per `each` elements. Offsets are in elements.
//   advance  the rule's own scalars, once a step; global size (1,).
#include "common.h"
#include "square_root.h"

// An exponent of 0 is that of zeros and denormals. (Through fabs the loop is not vectorised by PoCL 3.0.)
float flushed(float x) { return as_float((as_uint(x) & 0x7f800000u) ? as_uint(x) : 0u); }

#if SCALARS_ONLY
ONE_ITEM_A_GROUP
__kernel void advance(__global const float *restrict numbers, __global float *restrict scalars) {
  NUMBERS
  RULE
  STORES
}
#else
ONE_ITEM_A_GROUP
__kernel void update(const long n, const long each, __global const float *restrict numbers,
                     __global const float *restrict scalars, __global const float *restrict scale,
                     __global const float *restrict gradient, const long gradient_offset,
                     __global float *restrict vector, const long vector_offset ARGUMENTS) {
  gradient += gradient_offset;
  vector += vector_offset;
  POINTERS
  NUMBERS
  const float clip = scale[0];
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, n), step = 1;
#else
  const long begin = get_global_id(0), end = n, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const float w = flushed(vector[i]);
    const float g = flushed(flushed(gradient[i]) * clip);
    LOADS
    RULE
    STORES
  }
}
#endif
