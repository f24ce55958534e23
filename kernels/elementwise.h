// What elementwise_cpu.cl and elementwise_gpu.cl share: how the operands, `out` and one input per letter, are spelled.
//
// Defines: OPERANDS(EACH) the list EACH(A, a) EACH(B, b) … of inputs · T_OUT, T_A, T_B, … element types · COMPUTE_A, …
// the types in which EXPRESSION sees a, b, … · READ_A(x), …, WRITE(x) from and to the element types · STATEMENTS that
// come before it, if any · EXPRESSION · COMPUTE what it is computed in · INTEGER whether that is an integer type · WIDE
// 1 where a size or stride needs 64 bits · INDEX uint or ulong, in which places are counted · OVERWRITES, if the output
// is an input too, at the same places
//
// The arguments begin with memory: out, out_offset, A, a_offset, …; what follows depends on shapes and strides alone.
#include "common.h"
#include "axes.h"
#include "stored.h"
#if CPU
#include "vector_math.h"
#endif
#include "arithmetic.h"

#ifndef STATEMENTS
#define STATEMENTS
#endif

#ifdef OVERWRITES
#define RESTRICT
#else
#define RESTRICT restrict
#endif
#define MEMORY_ARGUMENT(X, x) , __global const T_##X *RESTRICT X, const long x##_offset
#define MEMORY __global T_OUT *RESTRICT OUT, const long out_offset OPERANDS(MEMORY_ARGUMENT)
#define STEP_ARGUMENT(X, x) , const int x##_step
#define STRIDES_ARGUMENT(X, x) , AXES(x##_strides)
#define ALL_OPERANDS(EACH) EACH(OUT, out) OPERANDS(EACH)

#define UNPACK_STRIDES(X, x) AXES_ARRAY(x##_stride, x##_strides)

// The place of `row` among all axes but the last `inner` ones.
#define BEGIN_POSITION(X, x) long x##_at = x##_offset;
#define MOVE_POSITION(X, x) x##_at += (long)index * x##_stride[axis];
#define POSITIONS(row, ndim, inner)                                                                      \
  ALL_OPERANDS(BEGIN_POSITION)                                                                           \
  {                                                                                                      \
    INDEX rest = (INDEX)(row);                                                                           \
    UNROLL_AXES                                                                                          \
    for (int axis = (ndim) - 1 - (inner); axis >= 0; --axis) {                                           \
      const INDEX index = axis ? rest % (INDEX)extent[axis] : rest;                                      \
      rest = axis ? rest / (INDEX)extent[axis] : 0;                                                      \
      ALL_OPERANDS(MOVE_POSITION)                                                                        \
    }                                                                                                    \
  }
