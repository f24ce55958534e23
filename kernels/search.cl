// places[i] = how many elements of sorted x go before value i: those smaller than it, with `right` also those equal to it.
// NaN counts as largest. x and the values are contiguous. Defines: T · CPU
//   GPU: an item per value, global (any,). CPU: an item per `each` values.
//
// All values take the same number of steps, so a CPU searches for several at a time: while one waits for memory, others
// go on.
#include "common.h"

int goes_before(const T a, const T b) { return a < b || (b != b && a == a); }

#if CPU
#define LANES 16
#else
#define LANES 1
#endif

ONE_ITEM_A_GROUP
__kernel void search(const long size, const long count, const long each, const int right, __global const T *restrict x,
                     const long x_offset, __global const T *restrict values, const long values_offset,
                     __global long *restrict places) {
  x += x_offset;
  values += values_offset;
#if CPU
  const long last = min((long)(get_global_id(0) + 1) * each, count);
  for (long i = get_global_id(0) * each; i < last; i += LANES) {
#else
  const long last = count;
  for (long i = get_global_id(0); i < last; i += get_global_size(0)) {
#endif
    T value[LANES];
    long place[LANES];
    for (int l = 0; l < LANES; ++l) {
      value[l] = values[min(i + l, last - 1)];
      place[l] = 0;
    }
    for (long length = size; length > 0;) {
      const long half_ = (length + 1) / 2;
      for (int l = 0; l < LANES; ++l) {
        const T other = x[place[l] + half_ - 1];
        const int above = right ? !goes_before(value[l], other) : goes_before(other, value[l]);
        place[l] += above ? half_ : 0;
      }
      length -= half_;
    }
    for (int l = 0; l < LANES && i + l < last; ++l) places[i + l] = place[l];
  }
}
