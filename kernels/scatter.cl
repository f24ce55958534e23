// x with one axis picked by a table (table.h) = values, of any strides. What leads nowhere is left out.
// `claimed`: only the entry m with claim[places[m]] == m writes (places.cl), so that of several the last one wins.
// Defines: T an unsigned type of the elements' size · INDEX uint or ulong, holds the number of elements · CPU
//   shape: of the values, `ndim` of the eight used, the last axis is the fast one; rows = the product of the others.
//   CPU: global (blocks of `each_column` columns, blocks of `each_row` rows). GPU: global (any,).
#include "common.h"
#include "table.h"

#define HAS_CLAIM(m) (table[m] != MISSING && (!claimed || claim[places[m]] == (uint)(m)))

// As MOVE, for both sides at once.
#define MOVE_BOTH(index, axis) \
  { \
    const long place = (long)(index); \
    if (axis == table_axis && !HAS_CLAIM(place)) there = 0; \
    MOVE(place, axis) \
    from += place * value_stride[axis]; \
  }

ONE_ITEM_A_GROUP
__kernel void scatter(LONGS(shape), const int ndim, const int table_axis, const long rows, const long each_row,
                      const long each_column, __global const long *restrict table, __global T *restrict x,
                      const long x_offset, LONGS(x_strides), __global const T *restrict values,
                      const long values_offset, LONGS(values_strides), const int claimed,
                      __global const long *restrict places, __global const uint *restrict claim) {
  UNPACK(shape, extent)
  UNPACK(x_strides, stride)
  UNPACK(values_strides, value_stride)
  const int fast = ndim - 1;
  const long columns = extent[fast];
#if CPU
  const long first = get_global_id(0) * each_column;
  const long last = min(first + each_column, columns);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  const long step = stride[fast], value_step = value_stride[fast];
  for (long row = get_global_id(1) * each_row; row < end_row; ++row) {
    INDEX rest = (INDEX)row;
    long at = x_offset, from = values_offset;
    int there = 1;
    for (int axis = fast - 1; axis > 0; --axis) {
      MOVE_BOTH(rest % (INDEX)extent[axis], axis)
      rest /= (INDEX)extent[axis];
    }
    if (fast > 0) MOVE_BOTH(rest, 0)
    if (!there) continue;
    if (table_axis == fast) {
      for (long i = first; i < last; ++i)
        if (HAS_CLAIM(i)) x[at + table[i]] = values[from + i * value_step];
    } else if (step == 1 && value_step == 1)
      for (long i = first; i < last; ++i) x[at + i] = values[from + i];
    else
      for (long i = first; i < last; ++i) x[at + i * step] = values[from + i * value_step];
  }
#else
  const INDEX total = (INDEX)(rows * columns);
  for (INDEX element = get_global_id(0); element < total; element += get_global_size(0)) {
    INDEX rest = element;
    long at = x_offset, from = values_offset;
    int there = 1;
    for (int axis = fast; axis > 0; --axis) {
      MOVE_BOTH(rest % (INDEX)extent[axis], axis)
      rest /= (INDEX)extent[axis];
    }
    MOVE_BOTH(rest, 0)
    if (there) x[at] = values[from];
  }
#endif
}
