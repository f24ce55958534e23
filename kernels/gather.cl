// out = x with one axis picked by a table (table.h); out is contiguous. What leads nowhere gives `missing`, as bits.
// Defines: T an unsigned type of the elements' size · INDEX uint or ulong, holds the number of elements · CPU
//   shape: of out, `ndim` of the eight used, the last axis is the fast one; rows = the product of the others.
//   CPU: global (blocks of `each_column` columns, blocks of `each_row` rows). GPU: global (any,).
#include "common.h"
#include "table.h"

ONE_ITEM_A_GROUP
__kernel void gather(LONGS(shape), const int ndim, const int table_axis, const long rows, const long each_row,
                     const long each_column, __global const long *restrict table, __global const T *restrict x,
                     const long x_offset, LONGS(x_strides), __global T *restrict out, const ulong missing) {
  UNPACK(shape, extent)
  UNPACK(x_strides, stride)
  const int fast = ndim - 1;
  const long columns = extent[fast];
#if CPU
  const long first = get_global_id(0) * each_column;
  const long last = min(first + each_column, columns);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  const long step = stride[fast];
  for (long row = get_global_id(1) * each_row; row < end_row; ++row) {
    INDEX rest = (INDEX)row;
    long at = x_offset;
    int there = 1;
    for (int axis = fast - 1; axis > 0; --axis) {
      MOVE(rest % (INDEX)extent[axis], axis)
      rest /= (INDEX)extent[axis];
    }
    if (fast > 0) MOVE(rest, 0)
    __global T *restrict to = out + row * columns;
    if (!there)
      for (long i = first; i < last; ++i) to[i] = (T)missing;
    else if (table_axis == fast)
      for (long i = first; i < last; ++i) to[i] = table[i] == MISSING ? (T)missing : x[at + table[i]];
    else if (step == 1)
      for (long i = first; i < last; ++i) to[i] = x[at + i];
    else
      for (long i = first; i < last; ++i) to[i] = x[at + i * step];
  }
#else
  const INDEX total = (INDEX)(rows * columns);
  for (INDEX element = get_global_id(0); element < total; element += get_global_size(0)) {
    INDEX rest = element;
    long at = x_offset;
    int there = 1;
    for (int axis = fast; axis > 0; --axis) {
      MOVE(rest % (INDEX)extent[axis], axis)
      rest /= (INDEX)extent[axis];
    }
    MOVE(rest, 0)
    out[element] = there ? x[at] : (T)missing;
  }
#endif
}
