// x with one axis picked by a table (table.h) += values, of any strides. Where several entries lead to one place they
// are added in their order, on every device: to the same bits, without atomics.
// Defines: T the elements · INDEX uint or ulong, holds the number of elements · CPU
//   shape: of the values, `ndim` of the eight used, the last axis is the fast one and not the table's.
//   places: for each entry the number of its place, 0 … places_count − 1, or MISSING.
#include "common.h"
#include "table.h"

#define SIDES \
  __global const long *restrict table, __global T *restrict x, const long x_offset, LONGS(x_strides), \
      __global const T *restrict values, const long values_offset, LONGS(values_strides)

#define UNPACK_ALL \
  UNPACK(shape, extent) \
  UNPACK(x_strides, stride) \
  UNPACK(values_strides, value_stride)

#if CPU
// Each item owns some columns of some rows of some places, and goes through all entries in their order.
//   rows: the product of all axes but the fast one and the table's.
//   Global (blocks of `each_column` columns, blocks of `each_row` rows, parts of the places).
ONE_ITEM_A_GROUP
__kernel void index_add(LONGS(shape), const int ndim, const int table_axis, const long rows, const long each_row,
                        const long each_column, const long places_count, __global const long *restrict places, SIDES) {
  UNPACK_ALL
  const int fast = ndim - 1;
  const long first = get_global_id(0) * each_column;
  const long last = min(first + each_column, extent[fast]);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  const long begin_place = places_count / get_global_size(2) * get_global_id(2);
  const long end_place =
      get_global_id(2) + 1 == get_global_size(2) ? places_count : begin_place + places_count / get_global_size(2);
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
    for (long m = 0; m < count; ++m) {
      if (places[m] < begin_place || places[m] >= end_place) continue;
      __global T *restrict to = x + at + table[m];
      __global const T *restrict source = values + from + m * entry_step;
      if (step == 1 && value_step == 1)
        for (long i = first; i < last; ++i) to[i] += source[i];
      else
        for (long i = first; i < last; ++i) to[i * step] += source[i * value_step];
    }
  }
}
#else
// `order` are the entries sorted by place, `sorted` those places. The item of the first entry of a place adds them all.
//   Global (any,): an item per element of the values, with `order` along the table's axis.
__kernel void index_add(LONGS(shape), const int ndim, const int table_axis, const long total,
                        __global const long *restrict order, __global const long *restrict sorted, SIDES) {
  UNPACK_ALL
  const long count = extent[table_axis], entry_step = value_stride[table_axis];
  for (INDEX element = get_global_id(0); element < (INDEX)total; element += get_global_size(0)) {
    INDEX rest = element;
    long at = x_offset, from = values_offset, entry = 0;
    for (int axis = ndim - 1; axis >= 0; --axis) {
      const long index = rest % (INDEX)extent[axis];
      rest /= (INDEX)extent[axis];
      if (axis == table_axis)
        entry = index;
      else {
        at += index * stride[axis];
        from += index * value_stride[axis];
      }
    }
    const long place = sorted[entry];
    if (place == MISSING || (entry > 0 && sorted[entry - 1] == place)) continue;
    at += table[order[entry]];
    T sum = x[at];
    for (; entry < count && sorted[entry] == place; ++entry) sum += values[from + order[entry] * entry_step];
    x[at] = sum;
  }
}
#endif
