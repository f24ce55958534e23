// An optimizer's step over a network's flat vectors, in place; the same bits as NumPy's form (nn/optimizers/rule.py).
//
// Defines, made from the rule: ARGUMENTS the vectors of its state · POINTERS moves each by its offset · NUMBERS and
// LOADS its inputs · RULE one rounded operation a statement · STORES what it changes
//   update   vector and state by the gradient. GPU: global size (any,), work-items stride over the elements. CPU: one
//            work-item per `each` elements. Offsets are in elements.
//   advance  the rule's own scalars, once a step; global size (1,).
#include "common.h"
#include "real.h"
#include "square_root.h"

#if SCALARS_ONLY
ONE_ITEM_A_GROUP
__kernel void advance(__global const real *restrict numbers, __global real *restrict scalars) {
  NUMBERS
  RULE
  STORES
}
#else
ONE_ITEM_A_GROUP
__kernel void update(const long n, const long each, __global const real *restrict numbers,
                     __global const real *restrict scalars, __global const real *restrict scale,
                     __global const real *restrict gradient, const long gradient_offset,
                     __global real *restrict vector, const long vector_offset ARGUMENTS) {
  gradient += gradient_offset;
  vector += vector_offset;
  POINTERS
  NUMBERS
  const real clip = scale[0];
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, n), step = 1;
#else
  const long begin = get_global_id(0), end = n, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const real w = flushed(vector[i]);
    const real g = flushed(flushed(gradient[i]) * clip);
    LOADS
    RULE
    STORES
  }
}
#endif
