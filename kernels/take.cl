// out[o, i, j] = x[o, indices[i], j] for x of shape [outer, length, inner], contiguous. Indices below 0 or beyond the
// axis give `missing`. Defines: T the elements · T_INDEX the indices · CPU
//   GPU: an item per element, global (any,). CPU: an item per `each` rows of `inner` elements.
#include "common.h"

ONE_ITEM_A_GROUP
__kernel void take(const long outer, const long length, const long inner, const long count, const long each,
                   __global const T *restrict x, const long x_offset, __global const T_INDEX *restrict indices,
                   const long indices_offset, const T missing, __global T *restrict out) {
  x += x_offset;
  indices += indices_offset;
#if CPU
  const long last = min((long)(get_global_id(0) + 1) * each, outer * count);
  for (long row = get_global_id(0) * each; row < last; ++row) {
    const long index = (long)indices[row % count];
    __global const T *from = x + (row / count * length + index) * inner;
    if (index >= 0 && index < length)
      for (long j = 0; j < inner; ++j) out[row * inner + j] = from[j];
    else
      for (long j = 0; j < inner; ++j) out[row * inner + j] = missing;
  }
#else
  for (long at = get_global_id(0); at < outer * count * inner; at += get_global_size(0)) {
    const long row = at / inner;
    const long index = (long)indices[row % count];
    const int valid = index >= 0 && index < length;
    out[at] = valid ? x[(row / count * length + index) * inner + at % inner] : missing;
  }
#endif
}
