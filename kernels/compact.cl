// The places of elements that are not 0, in order, for contiguous x cut into blocks of `each` elements.
//
// Defines: T the elements · CPU
//
// count   counts[b] = elements of block b that are not 0
// places  places[before[b] …] = the indices of those elements, where `before` counts what lies in the blocks before b
//   CPU: global (blocks,), groups of one. GPU: global (blocks * 256,), a work-group per block.
#include "common.h"

#define SCAN_T int
#define COMBINE(p, q) ((p) + (q))
#include "group_scan.h"

#define ITEMS 256
#define BATCH 256

#if CPU

ONE_ITEM_A_GROUP
__kernel void count(const long size, const long each, __global const T *restrict x, const long x_offset,
                    __global long *restrict counts) {
  const long begin = get_global_id(0) * each, end = min(begin + each, size);
  x += x_offset;
  int total = 0;
  for (long i = begin; i < end; ++i) total += x[i] != 0;
  counts[get_global_id(0)] = total;
}

ONE_ITEM_A_GROUP
__kernel void places(const long size, const long each, __global const T *restrict x, const long x_offset,
                     __global const long *restrict before, __global long *restrict places) {
  const long begin = get_global_id(0) * each, end = min(begin + each, size);
  long at = before[get_global_id(0)];
  x += x_offset;
  long found[BATCH + 1];
  for (long batch = begin; batch < end; batch += BATCH) {
    const int width = (int)min((long)BATCH, end - batch);
    int count = 0;
    for (int i = 0; i < width; ++i) {  // no branch, which would be guessed wrong half of the time
      found[count] = batch + i;
      count += x[batch + i] != 0;
    }
    for (int i = 0; i < count; ++i) places[at + i] = found[i];
    at += count;
  }
}

#else

// Of how many of the elements of its part an item finds that they are not 0, and shared = the running sum over items.
int counted(const long first, const long last, __global const T *restrict x, __local int *shared) {
  int total = 0;
  for (long i = first; i < last; ++i) total += x[i] != 0;
  group_scan(total, shared);
  return total;
}

#define PART \
  __local int shared[ITEMS]; \
  const long part = (each + ITEMS - 1) / ITEMS, begin = get_group_id(0) * each, end = min(begin + each, size); \
  const long first = min(begin + (long)get_local_id(0) * part, end), last = min(first + part, end);

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void count(const long size, const long each, __global const T *restrict x, const long x_offset,
           __global long *restrict counts) {
  PART
  counted(first, last, x + x_offset, shared);
  if (get_local_id(0) == 0) counts[get_group_id(0)] = shared[ITEMS - 1];
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void places(const long size, const long each, __global const T *restrict x, const long x_offset,
            __global const long *restrict before, __global long *restrict places) {
  PART
  x += x_offset;
  const int total = counted(first, last, x, shared);
  long at = before[get_group_id(0)] + shared[get_local_id(0)] - total;
  for (long i = first; i < last; ++i)
    if (x[i] != 0) places[at++] = i;
}

#endif
