// An optimizer's step that measures each parameter's length, over a network's flat vectors, in place; the same bits as
// NumPy's form (nn/optimizers/layerwise.py), where the defines come from. `pieces` has four numbers each: where the piece
// begins and ends, and the first and the end of the (at most 256) pieces of its parameter.
//
//   average  the state by the gradient, and the sums of squares of each piece: parameters, direction; the scalars of this
//            step to `ahead`, since others still read those of the last one in `kept`
//   move     the vector along the direction, by the ratio of the two lengths of the whole parameter; `ahead` to `kept`
//   CPU: global size (pieces,). GPU: a group of 256 work-items for each piece. Offsets are in elements.
#include "common.h"
#include "real.h"
#include "square_root.h"

#define COLUMNS 256

#define MEMORY                                                                                           \
  __global const real *restrict numbers, __global real *restrict kept, __global real *restrict ahead, \
      __global const real *restrict scale, __global const long *restrict pieces, __global real *restrict sums, \
      __global const real *restrict gradient, const long gradient_offset, __global real *restrict vector, \
      const long vector_offset ARGUMENTS
#define BEGIN                                                                                            \
  gradient += gradient_offset;                                                                           \
  vector += vector_offset;                                                                               \
  __global const real *scalars = AVERAGE ? kept : ahead;                                                \
  POINTERS NUMBERS

// Sums of 256 columns in halves: a loop over columns on a CPU, one column per work-item elsewhere.
#if CPU
#define EACH_COLUMN(count) for (int column = 0; column < (count); ++column)
#define COLUMNS_MEMORY real
#define TOGETHER
#define PIECE get_global_id(0)
#define IS_FIRST 1
#else
#define EACH_COLUMN(count) if (column < (count))
#define COLUMNS_MEMORY __local real
#define TOGETHER barrier(CLK_LOCAL_MEM_FENCE);
#define PIECE get_group_id(0)
#define IS_FIRST (column == 0)
#endif
#define FOLD(sums)                                                                                       \
  for (int half_count = COLUMNS / 2; half_count; half_count /= 2) {                                      \
    TOGETHER                                                                                             \
    EACH_COLUMN(half_count) sums[column] = flushed(sums[column] + sums[column + half_count]);            \
  }                                                                                                      \
  TOGETHER

#if CPU
#define GROUP_OF_COLUMNS ONE_ITEM_A_GROUP
#else
#define GROUP_OF_COLUMNS __attribute__((reqd_work_group_size(COLUMNS, 1, 1)))
#endif

#if AVERAGE
GROUP_OF_COLUMNS
__kernel void average(MEMORY) {
  BEGIN
  ADVANCE
  if (get_global_id(0) == 0) {
    KEEP
  }
  COLUMNS_MEMORY own[COLUMNS], other[COLUMNS];
  const real clip = scale[0];
  __global const long *piece = pieces + 4 * PIECE;
#if !CPU
  const int column = get_local_id(0);
#endif
  EACH_COLUMN(COLUMNS) own[column] = other[column] = 0;
  for (long row = piece[0]; row < piece[1]; row += COLUMNS)
    EACH_COLUMN(min((long)COLUMNS, piece[1] - row)) {
      const long i = row + column;
      const real w = flushed(vector[i]);
      const real g = flushed(flushed(gradient[i]) * clip);
      ADVANCED LOADS RULE STORES
      own[column] = flushed(own[column] + flushed(w * w));
      other[column] = flushed(other[column] + flushed(direction * direction));
    }
  FOLD(own)
  FOLD(other)
  if (IS_FIRST) {
    sums[2 * PIECE] = own[0];
    sums[2 * PIECE + 1] = other[0];
  }
}
#else
GROUP_OF_COLUMNS
__kernel void move(MEMORY) {
  BEGIN
  if (get_global_id(0) == 0) {
    KEEP
  }
  COLUMNS_MEMORY own[COLUMNS], other[COLUMNS];
  __global const long *piece = pieces + 4 * PIECE;
  const long first = piece[2], count = piece[3] - piece[2];
#if !CPU
  const int column = get_local_id(0);
#endif
  EACH_COLUMN(COLUMNS) {
    own[column] = column < count ? sums[2 * (first + column)] : 0;
    other[column] = column < count ? sums[2 * (first + column) + 1] : 0;
  }
  FOLD(own)
  FOLD(other)
  const real own_length = sqrt(own[0]), other_length = sqrt(other[0]);
  const real ratio = own_length > 0 && other_length > 0 ? flushed(own_length / other_length) : 1;
  for (long row = piece[0]; row < piece[1]; row += COLUMNS)
    EACH_COLUMN(min((long)COLUMNS, piece[1] - row)) {
      const long i = row + column;
      const real w = flushed(vector[i]);
      LOADS RULE STORES
    }
}
#endif
