// places[i] = how many elements of sorted x go before value i: those smaller than it, with `right` also those equal to it.
// NaN counts as largest. x and the values are contiguous. Defines: T · CPU
//   GPU: an item per value, global (any,). CPU: an item per `each` values.
#include "common.h"

int goes_before(const T a, const T b) { return a < b || (b != b && a == a); }

ONE_ITEM_A_GROUP
__kernel void search(const long size, const long count, const long each, const int right, __global const T *restrict x,
                     const long x_offset, __global const T *restrict values, const long values_offset,
                     __global long *restrict places) {
  x += x_offset;
  values += values_offset;
#if CPU
  const long last = min((long)(get_global_id(0) + 1) * each, count);
  for (long i = get_global_id(0) * each; i < last; ++i) {
#else
  for (long i = get_global_id(0); i < count; i += get_global_size(0)) {
#endif
    const T value = values[i];
    long low = 0, length = size;
    while (length > 0) {
      const long middle = low + length / 2;
      const T other = x[middle];
      const int above = right ? !goes_before(value, other) : goes_before(other, value);
      low = above ? middle + 1 : low;
      length = above ? (length - 1) / 2 : length / 2;
    }
    places[i] = low;
  }
}
