// Stable sorting of rows by order-preserving keys: NaN counts as largest, −0 equals +0.
//
// Defines: KEY the unsigned type as wide as an element · KIND 0 unsigned, 1 signed, 2 float · INFINITE the bits of
// infinity · CPU · INDICES 1: places are wanted, not elements, as always on a CPU
//
// Long rows by radix, from the lowest digit of the keys up: a pass counts the digits in every block of a row, a scan over
// [digit, block] says where each block's elements of each digit go, and the block puts them there.
//   histogram  counts[row, digit, block]
//   scatter    puts elements where `before` says, the scan of counts, which has one more per row
//     CPU: global (blocks, rows), an item per block. GPU: global (blocks * ITEMS, rows), a work-group per block.
// Short rows by counting, for each element, those that go before it:
//   rank       CPU: global (blocks of `each` rows,). GPU: global (rows * items,), a work-group per row.
// `turn` is all ones to sort in descending order, else 0.
#include "common.h"

#define TOP (KEY)((KEY)1 << (sizeof(KEY) * 8 - 1))

// A key whose unsigned order is the order wanted.
KEY key_of(const KEY bits, const KEY turn) {
#if KIND == 0
  return bits ^ turn;
#elif KIND == 1
  return (bits ^ TOP) ^ turn;
#else
  const KEY magnitude = bits & ~TOP;
  const KEY ordered = magnitude > (KEY)INFINITE ? ~(KEY)0 : bits == TOP ? TOP : bits & TOP ? ~bits : bits | TOP;
  return ordered ^ turn;
#endif
}

#if CPU
#define DIGITS 256
#define DIGIT(bits) (int)((key_of(bits, turn) >> shift) & (DIGITS - 1))

ONE_ITEM_A_GROUP
__kernel void histogram(const long length, const long each, const int shift, const KEY turn,
                        __global const KEY *restrict x, const long x_offset, __global int *restrict counts) {
  const long blocks = get_global_size(0), block = get_global_id(0), row = get_global_id(1);
  const long begin = block * each, end = min(begin + each, length);
  x += x_offset + row * length;
  int some[4][DIGITS];  // apart, so that equal neighbours do not wait for one another
  for (int d = 0; d < DIGITS; ++d) some[0][d] = some[1][d] = some[2][d] = some[3][d] = 0;
  long i = begin;
  for (; i + 4 <= end; i += 4) {
    ++some[0][DIGIT(x[i])];
    ++some[1][DIGIT(x[i + 1])];
    ++some[2][DIGIT(x[i + 2])];
    ++some[3][DIGIT(x[i + 3])];
  }
  for (; i < end; ++i) ++some[0][DIGIT(x[i])];
  for (int d = 0; d < DIGITS; ++d)
    counts[(row * DIGITS + d) * blocks + block] = some[0][d] + some[1][d] + some[2][d] + some[3][d];
}

ONE_ITEM_A_GROUP
__kernel void scatter(const long length, const long each, const int shift, const KEY turn,
                      __global const KEY *restrict x, const long x_offset, __global const long *restrict before,
                      __global KEY *restrict sorted, const int begins, __global const long *restrict places,
                      __global long *restrict sorted_places) {
  const long blocks = get_global_size(0), block = get_global_id(0), row = get_global_id(1);
  const long begin = block * each, end = min(begin + each, length);
  x += x_offset + row * length;
  sorted += row * length;
  before += row * (DIGITS * blocks + 1);
  places += row * length;
  sorted_places += row * length;
  const int digit = DIGIT(x[0]);
  if (before[(digit + 1) * blocks] - before[digit * blocks] == length) {  // all have this digit: they stay where they are
    for (long i = begin; i < end; ++i) sorted[i] = x[i];
    for (long i = begin; i < end; ++i) sorted_places[i] = begins ? i : places[i];
    return;
  }
  long next[DIGITS];
  for (int d = 0; d < DIGITS; ++d) next[d] = before[d * blocks + block];
  for (long i = begin; i < end; ++i) {
    const KEY bits = x[i];
    const long to = next[DIGIT(bits)]++;
    sorted[to] = bits;
    sorted_places[to] = begins ? i : places[i];
  }
}

#define MOST 256  // elements of a row in `rank`
#define LANES (int)(sizeof(VECTOR) / sizeof(KEY))

// Ranks of LANES elements at a time, in vectors of the elements' width (a char holds all ranks but for its sign).
ONE_ITEM_A_GROUP
__kernel void rank(const long rows, const int length, const long each, const KEY turn, __global const KEY *restrict x,
                   const long x_offset, __global long *restrict sorted) {
  const long last = min((long)(get_global_id(0) + 1) * each, rows);
  const int blocks = (length + 2 * LANES - 1) / (2 * LANES) * 2;
  VECTOR packed[MOST / LANES], lane;
  SIGNED *keys = (SIGNED *)packed;
  for (int l = 0; l < LANES; ++l) ((SIGNED *)&lane)[l] = (SIGNED)l;
  for (long row = get_global_id(0) * each; row < last; ++row) {
    __global const KEY *from = x + x_offset + row * length;
    for (int i = 0; i < length; ++i) keys[i] = (SIGNED)(key_of(from[i], turn) ^ TOP);
    for (int i = length; i < blocks * LANES; ++i) keys[i] = (SIGNED)~TOP;
    for (int block = 0; block < blocks; block += 2) {  // two side by side, to use each key loaded twice
      const int first = block * LANES, second = first + LANES;
      const VECTOR a = packed[block], b = packed[block + 1];
      VECTOR before[2];  // comparisons of vectors give −1 where they hold
      before[0] = before[1] = 0;
      int j = 0;
      for (; j < first; ++j) {
        const VECTOR key = keys[j];
        before[0] -= key <= a;
        before[1] -= key <= b;
      }
      for (; j < second; ++j) {
        const VECTOR key = keys[j];
        before[0] -= (key < a) | ((key == a) & ((VECTOR)(SIGNED)(j - first) < lane));
        before[1] -= key <= b;
      }
      for (; j < second + LANES; ++j) {
        const VECTOR key = keys[j];
        before[0] -= key < a;
        before[1] -= (key < b) | ((key == b) & ((VECTOR)(SIGNED)(j - second) < lane));
      }
      for (; j < length; ++j) {
        const VECTOR key = keys[j];
        before[0] -= key < a;
        before[1] -= key < b;
      }
      const int count = min(2 * LANES, length - first);
      for (int l = 0; l < count; ++l)
        sorted[row * length + ((int)((SIGNED *)before)[l] & (MOST - 1))] = first + l;
    }
  }
}

#else

#define DIGITS 16
#define ITEMS 256
#define EACH 16  // elements in a row that an item takes
#define DIGIT(bits) (int)((key_of(bits, turn) >> shift) & (DIGITS - 1))
#define SCAN_T int
#define COMBINE(p, q) ((p) + (q))
#include "group_scan.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void histogram(const long length, const long each, const int shift, const KEY turn, __global const KEY *restrict x,
               const long x_offset, __global int *restrict counts) {
  __local int bins[DIGITS][DIGITS];  // several of each digit, so that fewer items meet at one
  const int item = get_local_id(0);
  const long blocks = get_num_groups(0), block = get_group_id(0), row = get_global_id(1);
  const long begin = block * each, end = min(begin + each, length);
  x += x_offset + row * length;
  bins[item / DIGITS][item % DIGITS] = 0;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (long i = begin + item; i < end; i += ITEMS) atomic_inc(&bins[DIGIT(x[i])][item % DIGITS]);
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item < DIGITS) {
    int total = 0;
    for (int part = 0; part < DIGITS; ++part) total += bins[item][part];
    counts[(row * DIGITS + item) * blocks + block] = total;
  }
}

// A block has ITEMS * EACH elements. The local counts [digit, item] become, by a scan, the order within the block.
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void scatter(const long length, const long each, const int shift, const KEY turn, __global const KEY *restrict x,
             const long x_offset, __global const long *restrict before, __global KEY *restrict sorted
#if INDICES
             , const int begins, __global const long *restrict places, __global long *restrict sorted_places
#endif
) {
  __local ushort order[DIGITS * ITEMS];
  __local int shared[ITEMS];
  __local long first_of[DIGITS];
  const int item = get_local_id(0);
  const long blocks = get_num_groups(0), block = get_group_id(0), row = get_global_id(1);
  const long end = min((block + 1) * each, length);
  const long first = min(block * each + item * EACH, end), last = min(first + EACH, end);
  x += x_offset + row * length;
  sorted += row * length;
  for (int d = 0; d < DIGITS; ++d) order[d * ITEMS + item] = 0;
  for (long i = first; i < last; ++i) ++order[DIGIT(x[i]) * ITEMS + item];
  barrier(CLK_LOCAL_MEM_FENCE);
  int total = 0;
  for (int i = 0; i < DIGITS; ++i) total += order[item * DIGITS + i];
  group_scan(total, shared);
  int running = shared[item] - total;
  for (int i = 0; i < DIGITS; ++i) {
    const int own = order[item * DIGITS + i];
    order[item * DIGITS + i] = (ushort)running;
    running += own;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item < DIGITS)
    first_of[item] = before[row * (DIGITS * blocks + 1) + item * blocks + block] - order[item * ITEMS];
  barrier(CLK_LOCAL_MEM_FENCE);
#if INDICES
  places += row * length;
  sorted_places += row * length;
#endif
  for (long i = first; i < last; ++i) {
    const KEY bits = x[i];
    const int d = DIGIT(bits);
    const long to = first_of[d] + order[d * ITEMS + item]++;
    sorted[to] = bits;
#if INDICES
    sorted_places[to] = begins ? i : places[i];
#endif
  }
}

#if INDICES
#define RESULT long
#define RESULT_OF(from, i) (i)
#else
#define RESULT KEY
#define RESULT_OF(from, i) (from)[i]
#endif

#define MOST 1024  // elements of a row in `rank`

__kernel void rank(const long rows, const int length, const long each, const KEY turn, __global const KEY *restrict x,
                   const long x_offset, __global RESULT *restrict sorted) {
  __local KEY keys[MOST];
  const int item = get_local_id(0), items = get_local_size(0);
  const long row = get_group_id(0);
  __global const KEY *from = x + x_offset + row * length;
  for (int i = item; i < length; i += items) keys[i] = key_of(from[i], turn);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int i = item; i < length; i += items) {
    const KEY key = keys[i];
    int before = 0;
    for (int j = 0; j < i; ++j) before += keys[j] <= key;
    for (int j = i + 1; j < length; ++j) before += keys[j] < key;
    sorted[row * length + before] = RESULT_OF(from, i);
  }
}

#endif
