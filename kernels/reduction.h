// What reduction_cpu.cl and reduction_gpu.cl share: x seen as [kept, reduced], each part with up to eight axes of its own.
//
// Defines: T_IN the elements of x · T_ACC what is accumulated and written · COMBINE(p, q) and IDENTITY, or for argmax
// BETTER(p, q), whether p is to be chosen over q · FINISH what is done to a result, such as `/ divisor` · CENTRED 1 to
// accumulate squared distances from centre[o] instead of values · AXES int8, or long8 where a size or stride needs 64
// bits · AXIS int or long to match
//
// The reduced part is cut into chunks; chunk s of output o goes to out[s * kept_count + o], and a second launch reduces
// the chunks. No atomics: the order of additions, and so every bit of the result, depends on the shape and the device
// alone.
#include "common.h"

#define MEMORY(T_OUT)                                                                                    \
  __global T_OUT *restrict out, const long out_offset, __global const T_IN *restrict x, const long x_offset
#if CENTRED
#define CENTRE_ARGUMENT , __global const T_ACC *restrict centre, const long centre_offset
#define CENTRE(o) const T_ACC middle = centre[centre_offset + (o)];
#define VALUE(v) (((v) - middle) * ((v) - middle))
#else
#define CENTRE_ARGUMENT
#define CENTRE(o) const T_ACC middle = 0;
#define VALUE(v) (v)
#endif

#define PART_ARGUMENTS(name) \
  const AXES name##_shape, const AXES name##_strides, const int name##_ndim, const long name##_count

// Offset, in elements, of place `at` of a part.
inline long position(long at, const int ndim, const AXES shape, const AXES strides) {
  if (ndim == 1) return at * strides.s0;
  const AXIS extent[8] = {shape.s0, shape.s1, shape.s2, shape.s3, shape.s4, shape.s5, shape.s6, shape.s7};
  const AXIS step[8] = {strides.s0, strides.s1, strides.s2, strides.s3, strides.s4, strides.s5, strides.s6, strides.s7};
  long offset = 0;
  for (int axis = ndim - 1; axis > 0; --axis) {
    offset += (at % extent[axis]) * step[axis];
    at /= extent[axis];
  }
  return offset + at * step[0];
}

#define POSITION(name, at) position(at, name##_ndim, name##_shape, name##_strides)

inline long last_of(const AXES values, const int ndim) {
  const AXIS all[8] = {values.s0, values.s1, values.s2, values.s3, values.s4, values.s5, values.s6, values.s7};
  return all[ndim - 1];
}
