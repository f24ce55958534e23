// x with one axis picked by a table (table.h) COMBINE values, of any strides, for CPUs. Where several entries lead to
// one place they come in their order: each item owns some columns of some rows, and goes through all entries.
// Defines: T the elements · COMBINE = or += · INDEX uint or ulong, holds the number of elements
//   shape: of the values, `ndim` of the eight used, the last axis is the fast one and not the table's.
//   rows: the product of all axes but those two.
//   Global (blocks of `each_column` columns, blocks of `each_row` rows).
#include "common.h"
#include "table.h"

ONE_ITEM_A_GROUP
__kernel void in_order(LONGS(shape), const int ndim, const int table_axis, const long rows, const long each_row,
                       const long each_column, __global const long *restrict table, __global T *restrict x,
                       const long x_offset, LONGS(x_strides), __global const T *restrict values,
                       const long values_offset, LONGS(values_strides)) {
  UNPACK(shape, extent)
  UNPACK(x_strides, stride)
  UNPACK(values_strides, value_stride)
  const int fast = ndim - 1;
  const long first = get_global_id(0) * each_column;
  const long last = min(first + each_column, extent[fast]);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  const long count = extent[table_axis], entry_step = value_stride[table_axis];
  const long step = stride[fast], value_step = value_stride[fast];
  for (long row = get_global_id(1) * each_row; row < end_row; ++row) {
    INDEX rest = (INDEX)row;
    long at = x_offset, from = values_offset;
    for (int axis = fast - 1; axis >= 0; --axis) {
      if (axis == table_axis) continue;
      const long index = rest % (INDEX)extent[axis];
      rest /= (INDEX)extent[axis];
      at += index * stride[axis];
      from += index * value_stride[axis];
    }
    if (last - first == 1) {
      at += first * step;
      from += first * value_step;
      for (long m = 0; m < count; ++m)
        if (table[m] != MISSING) x[at + table[m]] COMBINE values[from + m * entry_step];
      continue;
    }
    for (long m = 0; m < count; ++m) {
      if (table[m] == MISSING) continue;
      __global T *restrict to = x + at + table[m];
      __global const T *restrict source = values + from + m * entry_step;
      if (step == 1 && value_step == 1)
        for (long i = first; i < last; ++i) to[i] COMBINE source[i];
      else
        for (long i = first; i < last; ++i) to[i * step] COMBINE source[i * value_step];
    }
  }
}
