// out[o, i, j] = COMBINE of x[o, 0 … i, j] for contiguous x of shape [outer, length, inner]; with `initial` 1 the axis of
// `out` is one longer and begins with IDENTITY.
//
// Defines: T_IN the elements of x · T_ACC what is accumulated and written · COMBINE(p, q) · IDENTITY · CPU
//   TOTALS 1: write only what each chunk comes to, to out[o, chunk, j]
//
// The axis is cut into get_num_groups(1) chunks, so that few lines still fill a device: one launch finds what the chunks
// come to, a scan of these gives what goes before each chunk (`carries`, read when `carried` is 1), and another launch
// scans the chunks. The order of operations depends on shape and device alone.
//
// blocks  CPU, global (blocks of `each` times 64 neighbouring lines, chunks)
// items   GPU, global (lines, chunks): an item per line, for lines that lie side by side and for short ones
// groups  GPU, global (lines * 256, chunks): a work-group per line, for long ones
#include "common.h"

#define WIDTH 64
#define LANES 8
#define SCAN_T T_ACC
#include "group_scan.h"

#define ARGUMENTS \
  const long outer, const long length, const long inner, const long chunk, const long each, \
  __global const T_IN *restrict x, const long x_offset, __global T_ACC *out, const int initial, \
  __global const T_ACC *carries, const int carried

// What line (o, j) has come to before this chunk.
#define CARRY(o, j) \
  (carried ? carries[((o) * (get_num_groups(1) + 1) + get_group_id(1)) * inner + (j)] : (T_ACC)IDENTITY)

#if CPU

ONE_ITEM_A_GROUP
__kernel void blocks(ARGUMENTS) {
  const long chunks = get_num_groups(1), place = get_group_id(1);
  const long begin = place * chunk, end = min(begin + chunk, length);
  const long across = (inner + WIDTH - 1) / WIDTH;
  const long last = min((long)(get_global_id(0) + 1) * each, outer * across);
  for (long block = get_global_id(0) * each; block < last; ++block) {
    const long o = block / across, first = block % across * WIDTH;
    const int width = (int)min((long)WIDTH, inner - first);
    __global const T_IN *from = x + x_offset + o * length * inner + first;
    T_ACC sums[WIDTH];
    for (int j = 0; j < width; ++j) sums[j] = CARRY(o, first + j);
#if TOTALS
    long i = begin;
    if (inner == 1) {
      T_ACC lanes[LANES];
      for (int j = 0; j < LANES; ++j) lanes[j] = IDENTITY;
      for (; i + LANES <= end; i += LANES)
        for (int j = 0; j < LANES; ++j) {
          const T_ACC value = (T_ACC)from[i + j];
          lanes[j] = COMBINE(lanes[j], value);
        }
      for (int j = 0; j < LANES; ++j) sums[0] = COMBINE(sums[0], lanes[j]);
    }
    for (; i < end; ++i)
      for (int j = 0; j < width; ++j) {
        const T_ACC value = (T_ACC)from[i * inner + j];
        sums[j] = COMBINE(sums[j], value);
      }
    for (int j = 0; j < width; ++j) out[(o * chunks + place) * inner + first + j] = sums[j];
#else
    __global T_ACC *to = out + o * (length + initial) * inner + first;
    if (initial && place == 0)
      for (int j = 0; j < width; ++j) to[j] = IDENTITY;
    to += initial * inner;
    if (inner == 1) {
      T_ACC sum = sums[0];
      for (long i = begin; i < end; ++i) {
        const T_ACC value = (T_ACC)from[i];
        to[i] = sum = COMBINE(sum, value);
      }
    } else {
      for (long i = begin; i < end; ++i)
        for (int j = 0; j < width; ++j) {
          const T_ACC value = (T_ACC)from[i * inner + j];
          to[i * inner + j] = sums[j] = COMBINE(sums[j], value);
        }
    }
#endif
  }
}

#else

__kernel void items(ARGUMENTS) {
  const long line = get_global_id(0), chunks = get_num_groups(1), place = get_group_id(1);
  if (line >= outer * inner) return;
  const long o = line / inner, j = line % inner;
  const long begin = place * chunk, end = min(begin + chunk, length);
  __global const T_IN *from = x + x_offset + o * length * inner + j;
  T_ACC sum = CARRY(o, j);
#if TOTALS
  for (long i = begin; i < end; ++i) {
    const T_ACC value = (T_ACC)from[i * inner];
    sum = COMBINE(sum, value);
  }
  out[(o * chunks + place) * inner + j] = sum;
#else
  __global T_ACC *to = out + o * (length + initial) * inner + j;
  if (initial && place == 0) to[0] = IDENTITY;
  to += initial * inner;
  for (long i = begin; i < end; ++i) {
    const T_ACC value = (T_ACC)from[i * inner];
    to[i * inner] = sum = COMBINE(sum, value);
  }
#endif
}

#define ITEMS 256
#define RUN 4  // elements in a row that an item takes

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void groups(ARGUMENTS) {
  __local T_ACC shared[ITEMS];
  const long line = get_group_id(0), chunks = get_num_groups(1), place = get_group_id(1);
  const long o = line / inner, j = line % inner;
  const long begin = place * chunk, end = min(begin + chunk, length);
  const int item = get_local_id(0);
  __global const T_IN *from = x + x_offset + o * length * inner + j;
  T_ACC before = CARRY(o, j);
#if !TOTALS
  __global T_ACC *to = out + o * (length + initial) * inner + j;
  if (initial && place == 0 && item == 0) to[0] = IDENTITY;
  to += initial * inner;
#endif
  for (long tile = begin; tile < end; tile += ITEMS * RUN) {
    const long first = tile + item * RUN;
    T_ACC sums[RUN];
    for (int r = 0; r < RUN; ++r) {
      const T_ACC value = first + r < end ? (T_ACC)from[(first + r) * inner] : (T_ACC)IDENTITY;
      sums[r] = value;
      if (r > 0) sums[r] = COMBINE(sums[r - 1], value);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    group_scan(sums[RUN - 1], shared);
#if !TOTALS
    T_ACC carry = before;
    if (item > 0) carry = COMBINE(before, shared[item - 1]);
    for (int r = 0; r < RUN; ++r)
      if (first + r < end) to[(first + r) * inner] = COMBINE(carry, sums[r]);
#endif
    before = COMBINE(before, shared[ITEMS - 1]);
  }
#if TOTALS
  if (item == 0) out[(o * chunks + place) * inner + j] = before;
#endif
}

#endif
