// table[m] = Σ over index arrays of (their index m, wrapped if negative) * step: one launch adds one array's share.
// An index out of range makes its entry MISSING and *error 1. Defines: T_INDEX the indices · CPU
//   strides: of the indices over `shape`, the common shape of all index arrays, `ndim` of eight used.
//   CPU: an item per `each` entries. GPU: global (any,).
//
// claim[place[m]] = the last m of those with the same place: what makes the last one win, whoever is first in time.
//   begin_claims, then claims, each CPU: an item per `each` entries, GPU: global (any,).
#include "common.h"
#include "table.h"

#if CPU
#define EACH_ENTRY(m) \
  const long end = min((long)(get_global_id(0) + 1) * each, count); \
  for (long m = get_global_id(0) * each; m < end; ++m)
#else
#define EACH_ENTRY(m) for (long m = get_global_id(0); m < count; m += get_global_size(0))
#endif

#ifdef T_INDEX
#define ADD_ENTRY(m, given) \
  { \
    const long signed_index = (long)(given), index = signed_index < 0 ? signed_index + size : signed_index; \
    const int is_good = index >= 0 && index < size; \
    const long before = is_first ? 0 : table[m]; \
    is_bad |= !is_good; \
    table[m] = is_good && before != MISSING ? before + index * step : MISSING; \
  }

ONE_ITEM_A_GROUP
__kernel void places(const long count, const long each, LONGS(shape), const int ndim,
                     __global const T_INDEX *restrict indices, const long indices_offset, LONGS(strides),
                     const long size, const long step, const int is_first, __global long *restrict table,
                     __global int *restrict error) {
  UNPACK(shape, extent)
  UNPACK(strides, stride)
  const int fast = ndim - 1;
  const long fast_step = stride[fast];
  int is_bad = 0;
#if CPU
  // Row by row of the common shape, so that only the beginning of each costs divisions.
  const long end = min((long)(get_global_id(0) + 1) * each, count);
  for (long m = get_global_id(0) * each; m < end;) {
    const long column = m % extent[fast];
    const long run = min(extent[fast] - column, end - m);
    long rest = m / extent[fast], at = indices_offset + column * fast_step;
    for (int axis = fast - 1; axis >= 0; --axis) {
      at += rest % extent[axis] * stride[axis];
      rest /= extent[axis];
    }
    for (long i = 0; i < run; ++i) ADD_ENTRY(m + i, indices[at + i * fast_step])
    m += run;
  }
#else
  for (long m = get_global_id(0); m < count; m += get_global_size(0)) {
    long rest = m, at = indices_offset;
    for (int axis = fast; axis > 0; --axis) {
      at += rest % extent[axis] * stride[axis];
      rest /= extent[axis];
    }
    ADD_ENTRY(m, indices[at + rest * stride[0]])
  }
#endif
  if (is_bad) *error = 1;
}
#else
ONE_ITEM_A_GROUP
__kernel void begin_claims(const long count, const long each, __global const long *restrict places,
                           __global uint *restrict claim) {
  EACH_ENTRY(m) if (places[m] != MISSING) claim[places[m]] = 0;
}

ONE_ITEM_A_GROUP
__kernel void claims(const long count, const long each, __global const long *restrict places,
                     __global uint *restrict claim) {
  EACH_ENTRY(m) if (places[m] != MISSING) atomic_max(claim + places[m], (uint)m);
}
#endif
