// x with one axis picked by a table (table.h) += values, of any strides, for GPUs. Where several entries lead to one
// place they are added in their order: `order` are the entries sorted by place, `sorted` those places, and the item of
// the first entry of a place adds them all.
// Defines: T the elements · T_PLACE of `sorted`, −1 where an index is out of range · INDEX uint or ulong, holds the
// number of elements
//   shape: of the values, `ndim` of the eight used, with `order` along the table's axis.
//   Global (any,): an item per element of the values.
#include "common.h"
#include "table.h"

__kernel void index_add(LONGS(shape), const int ndim, const int table_axis, const long total,
                        __global const long *restrict order, __global const T_PLACE *restrict sorted,
                        __global const long *restrict table, __global T *restrict x, const long x_offset,
                        LONGS(x_strides), __global const T *restrict values, const long values_offset,
                        LONGS(values_strides)) {
  UNPACK(shape, extent)
  UNPACK(x_strides, stride)
  UNPACK(values_strides, value_stride)
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
    const T_PLACE place = sorted[entry];
    if (place < 0 || (entry > 0 && sorted[entry - 1] == place)) continue;
    at += table[order[entry]];
    T sum = x[at];
    for (; entry < count && sorted[entry] == place; ++entry) sum += values[from + order[entry] * entry_step];
    x[at] = sum;
  }
}
