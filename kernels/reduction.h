// What reduction_cpu.cl and reduction_gpu.cl share: x seen as [kept, reduced], each part with up to eight axes of its own.
//
// Defines: T_IN the elements of x · T_ACC what is accumulated and written · COMBINE(p, q) and IDENTITY, or for argmax
// BETTER(p, q), whether p is to be chosen over q · FINISH what is done to a result, such as `/ divisor` · WIDE 1 where a
// size or stride needs 64 bits
//
// The reduced part is cut into chunks; chunk s of output o goes to out[s * kept_count + o], and a second launch reduces
// the chunks, or on some GPUs the group that finishes last. Nothing is added by atomics: the order of additions, and so
// every bit of the result, depends on the shape and the device alone.
#include "common.h"
#include "axes.h"

#define MEMORY(T_OUT)                                                                                    \
  __global T_OUT *restrict out, const long out_offset, __global const T_IN *restrict x, const long x_offset

#define PART_ARGUMENTS(name) \
  AXES(name##_shape), AXES(name##_strides), const int name##_ndim, const long name##_count

// What kernels begin with: the sizes and strides of both parts as arrays.
#define UNPACK_PARTS                                                                                     \
  AXES_ARRAY(kept_extent, kept_shape)                                                                        \
  AXES_ARRAY(kept_step, kept_strides)                                                                        \
  AXES_ARRAY(reduced_extent, reduced_shape)                                                                  \
  AXES_ARRAY(reduced_step, reduced_strides)

// Offset, in elements, of place `at` of a part.
static inline __attribute__((always_inline)) long position(long at, const int ndim, const AXIS *extent, const AXIS *step) {
  if (ndim == 1) return at * step[0];
  long offset = 0;
  for (int axis = ndim - 1; axis > 0; --axis) {
    offset += (at % extent[axis]) * step[axis];
    at /= extent[axis];
  }
  return offset + at * step[0];
}

#define POSITION(name, at) position(at, name##_ndim, name##_extent, name##_step)

#ifdef BETTER
// Chooses among the chunks: `chosen` has an index for each of them and each output; an item has `each` outputs.
__kernel void arg_chunks(MEMORY(long), __global const long *restrict chosen, const long chosen_offset, const int chunks,
                         const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  for (long o = get_global_id(0) * each; o < last; ++o) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    long best = chosen[chosen_offset + o];
    T_IN value = base[POSITION(reduced, best)];
    for (int s = 1; s < chunks; ++s) {
      const long index = chosen[chosen_offset + s * kept_count + o];
      const T_IN other = base[POSITION(reduced, index)];
      if (BETTER(other, value)) {
        value = other;
        best = index;
      }
    }
    out[out_offset + o] = best;
  }
}
#endif
