// output[i] = EXPRESSION(a, b, c) over one to three inputs, of any layout. Never specialised by shape.
//
// Defines: INPUTS 1…3 · T_A T_B T_C T_OUT element types · COMPUTE the type of a, b, c in EXPRESSION · INTEGER whether that
// is an integer type · INDEX uint or ulong
//
// contiguous: every operand is either dense in the same order or a single element (step 1 or 0).
//   GPU: global size (any,), work-items stride over the elements. CPU: one work-item per `each` elements.
// strided:    shape and strides as int8, `ndim` of the eight are used, the last axis is the fast one.
//   GPU: global size (any,). CPU: global size (blocks of `each_column` columns, blocks of `each_row` rows).
#include "common.h"
#include "arithmetic.h"

#if INPUTS == 1
#define OPERANDS(F) F(A, a)
#define COMMA_OPERANDS(F) , F(A, a)
#elif INPUTS == 2
#define OPERANDS(F) F(A, a) F(B, b)
#define COMMA_OPERANDS(F) , F(A, a), F(B, b)
#else
#define OPERANDS(F) F(A, a) F(B, b) F(C, c)
#define COMMA_OPERANDS(F) , F(A, a), F(B, b), F(C, c)
#endif

#if INPUTS == 1
#define EVALUATE(I_A, I_B, I_C) \
  const COMPUTE a = (COMPUTE)A[I_A]; \
  const T_OUT result = (T_OUT)(EXPRESSION)
#elif INPUTS == 2
#define EVALUATE(I_A, I_B, I_C) \
  const COMPUTE a = (COMPUTE)A[I_A]; \
  const COMPUTE b = (COMPUTE)B[I_B]; \
  const T_OUT result = (T_OUT)(EXPRESSION)
#else
// The condition of `where` keeps its own type.
#define EVALUATE(I_A, I_B, I_C) \
  const T_A a = A[I_A]; \
  const COMPUTE b = (COMPUTE)B[I_B]; \
  const COMPUTE c = (COMPUTE)C[I_C]; \
  const T_OUT result = (T_OUT)(EXPRESSION)
#endif

#define LOOP(BEGIN, END, STEP, I_OUT, I_A, I_B, I_C) \
  for (long i = (BEGIN); i < (END); i += (STEP)) { \
    EVALUATE(I_A, I_B, I_C); \
    out[I_OUT] = result; \
  }

#define STEP_ARGUMENTS(X, x) __global const T_##X *restrict X, const long x##_offset, const int x##_step
#define MOVE_POINTER(X, x) X += x##_offset;

ONE_ITEM_A_GROUP
__kernel void contiguous(const long n, const long each, __global T_OUT *restrict out,
                         const long out_offset COMMA_OPERANDS(STEP_ARGUMENTS)) {
  out += out_offset;
  OPERANDS(MOVE_POINTER)
#if CPU
  const long begin = get_global_id(0) * each;
  const long end = min(begin + each, n);
  // Each combination of steps is a loop of its own, so that the compiler can vectorise it.
#if INPUTS == 1
  if (a_step == 1)
    LOOP(begin, end, 1, i, i, 0, 0)
  else
    LOOP(begin, end, 1, i, 0, 0, 0)
#elif INPUTS == 2
  if (a_step == 1 && b_step == 1)
    LOOP(begin, end, 1, i, i, i, 0)
  else if (a_step == 1)
    LOOP(begin, end, 1, i, i, 0, 0)
  else
    LOOP(begin, end, 1, i, 0, i * b_step, 0)
#else
  if (a_step == 1 && b_step == 1 && c_step == 1)
    LOOP(begin, end, 1, i, i, i, i)
  else
    LOOP(begin, end, 1, i, i * a_step, i * b_step, i * c_step)
#endif
#elif INPUTS == 1
  LOOP(get_global_id(0), n, get_global_size(0), i, i * a_step, 0, 0)
#elif INPUTS == 2
  LOOP(get_global_id(0), n, get_global_size(0), i, i * a_step, i * b_step, 0)
#else
  LOOP(get_global_id(0), n, get_global_size(0), i, i * a_step, i * b_step, i * c_step)
#endif
}

#define STRIDE_ARGUMENTS(X, x) __global const T_##X *restrict X, const long x##_offset, const int8 x##_strides
#define UNPACK(X, x) \
  int x##_stride[8]; \
  vstore8(x##_strides, 0, x##_stride);
#define BEGIN_POSITION(X, x) long x##_at = x##_offset;
#define MOVE_POSITION(X, x) x##_at += (long)index * x##_stride[axis];
#define FAST_STRIDE(X, x) const long x##_fast = x##_stride[ndim - 1];

ONE_ITEM_A_GROUP
__kernel void strided(const int8 shape, const int ndim, const long rows, const int each_row, const int each_column,
                      __global T_OUT *restrict out, const long out_offset,
                      const int8 out_strides COMMA_OPERANDS(STRIDE_ARGUMENTS)) {
  int extent[8];
  vstore8(shape, 0, extent);
  UNPACK(OUT, out)
  OPERANDS(UNPACK)
#if CPU
  const long first = get_global_id(0) * (long)each_column;
  const long last = min(first + each_column, (long)extent[ndim - 1]);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  FAST_STRIDE(OUT, out)
  OPERANDS(FAST_STRIDE)
  for (long row = get_global_id(1) * (long)each_row; row < end_row; ++row) {
    INDEX rest = (INDEX)row;
    BEGIN_POSITION(OUT, out)
    OPERANDS(BEGIN_POSITION)
    for (int axis = ndim - 2; axis >= 0; --axis) {
      const INDEX index = rest % extent[axis];
      rest /= extent[axis];
      MOVE_POSITION(OUT, out)
      OPERANDS(MOVE_POSITION)
    }
#if INPUTS == 1
    if (out_fast == 1 && a_fast == 1)
      LOOP(first, last, 1, out_at + i, a_at + i, 0, 0)
    else
      LOOP(first, last, 1, out_at + i * out_fast, a_at + i * a_fast, 0, 0)
#elif INPUTS == 2
    if (out_fast == 1 && a_fast == 1 && b_fast == 1)
      LOOP(first, last, 1, out_at + i, a_at + i, b_at + i, 0)
    else if (out_fast == 1 && a_fast == 1 && b_fast == 0)
      LOOP(first, last, 1, out_at + i, a_at + i, b_at, 0)
    else if (out_fast == 1 && a_fast == 0 && b_fast == 1)
      LOOP(first, last, 1, out_at + i, a_at, b_at + i, 0)
    else
      LOOP(first, last, 1, out_at + i * out_fast, a_at + i * a_fast, b_at + i * b_fast, 0)
#else
    LOOP(first, last, 1, out_at + i * out_fast, a_at + i * a_fast, b_at + i * b_fast, c_at + i * c_fast)
#endif
  }
#else
  const INDEX total = (INDEX)rows * extent[ndim - 1];
  for (INDEX at = get_global_id(0); at < total; at += get_global_size(0)) {
    INDEX rest = at;
    BEGIN_POSITION(OUT, out)
    OPERANDS(BEGIN_POSITION)
    for (int axis = ndim - 1; axis >= 0; --axis) {
      const INDEX index = rest % extent[axis];
      rest /= extent[axis];
      MOVE_POSITION(OUT, out)
      OPERANDS(MOVE_POSITION)
    }
    EVALUATE(a_at, b_at, c_at);
    out[out_at] = result;
  }
#endif
}
