// draw: out[i] is number (first + i) of the stream named by `key`, by its KIND:
//   UNIFORM        float in [0, 1) with 24 bits
//   NORMAL         float of the standard normal distribution, by Box and Muller (normal.h)
//   INTEGERS       low + an integer below `span`, every one equally likely; 0 stands for 2^32
//   WIDE_INTEGERS  the same for larger spans, of 64 bits; 0 stands for 2^64
//   Philox counter: block number in words 0 and 1, `step` in words 2 and 3; a block makes NUMBERS numbers.
//   step = number + *counter, so that a replayed launch can get a new step from device memory.
//   Each item makes TOGETHER blocks at a time, and strides over them: global size (any,).
// Defines: KIND, T_COUNTER int, uint, long or ulong, T_OUT
#include "common.h"
#include "philox.h"
#include "normal.h"

#define UNIFORM 0
#define NORMAL 1
#define INTEGERS 2
#define WIDE_INTEGERS 3

#if KIND == WIDE_INTEGERS
#define NUMBERS 2
#define BITS ulong
#define LOW_HALF(bits) ((bits) * span)
#define HIGH_HALF(bits) (span ? high_product(bits, span) : (bits))
#else
#define NUMBERS 4
#define BITS uint
#define LOW_HALF(bits) ((bits) * span)
#define HIGH_HALF(bits) (span ? (uint)(((ulong)(bits) * span) >> 32) : (bits))
#endif

#if KIND == WIDE_INTEGERS
// mul_hi(a, b) in halves, which compilers vectorise.
ulong high_product(ulong a, ulong b) {
  const ulong a1 = a >> 32, a0 = (uint)a, b1 = b >> 32, b0 = (uint)b;
  const ulong p10 = a1 * b0, p01 = a0 * b1;
  const ulong middle = (a0 * b0 >> 32) + (uint)p10 + (uint)p01;
  return a1 * b1 + (p10 >> 32) + (p01 >> 32) + (middle >> 32);
}
#endif

#if CPU
#define TOGETHER 16  // blocks side by side, so that the compiler can vectorise the rounds
#else
#define TOGETHER 1
#endif

#if KIND == INTEGERS || KIND == WIDE_INTEGERS
// A number below span is the high half of a product: D. Lemire, "Fast random integer generation in an interval",
// 2019. Draws whose low half is below threshold = 2^bits mod span would make some numbers more likely; others
// take their place, from blocks that this element has to itself.
BITS drawn_again(ulong element, ulong step, uint2 key, BITS span, BITS threshold) {
  for (ulong attempt = 1;; ++attempt) {
    const uint high = (uint)((element >> 32) | attempt << 16);
    const uint4 words = philox((uint4)((uint)element, high, (uint)step, (uint)(step >> 32)), key);
    const BITS bits = NUMBERS == 2 ? (BITS)(words.x | (ulong)words.y << 32) : words.x;
    if (LOW_HALF(bits) >= threshold) return HIGH_HALF(bits);
  }
}
#endif

__kernel void draw(const long n, const ulong first, const ulong key, const ulong number,
                   __global const T_COUNTER *restrict counter, const long counter_offset,
#if KIND == INTEGERS || KIND == WIDE_INTEGERS
                   const ulong low, const BITS span, const BITS threshold,
#endif
                   __global T_OUT *restrict out) {
  const ulong step = number + (ulong)counter[counter_offset];
  const uint2 whole_key = (uint2)((uint)key, (uint)(key >> 32));
  const ulong blocks_before = first / NUMBERS;
  const ulong blocks = (first + n + NUMBERS - 1) / NUMBERS - blocks_before;
  for (ulong b = get_global_id(0) * TOGETHER; b < blocks; b += get_global_size(0) * TOGETHER) {
    const ulong block = blocks_before + b;
    uint c0[TOGETHER], c1[TOGETHER], c2[TOGETHER], c3[TOGETHER];
    for (int j = 0; j < TOGETHER; ++j) {
      c0[j] = (uint)(block + j);
      c1[j] = (uint)((block + j) >> 32);
      c2[j] = (uint)step;
      c3[j] = (uint)(step >> 32);
    }
    uint2 k = whole_key;
    for (int round_ = 0; round_ < 10; ++round_) {
      for (int j = 0; j < TOGETHER; ++j) PHILOX_ROUND(c0[j], c1[j], c2[j], c3[j], k.x, k.y)
      k += PHILOX_KEY_STEP;
    }
    T_OUT made[NUMBERS][TOGETHER];
#if KIND == UNIFORM
    for (int j = 0; j < TOGETHER; ++j) {
      made[0][j] = (float)(c0[j] >> 8) * 0x1p-24f;
      made[1][j] = (float)(c1[j] >> 8) * 0x1p-24f;
      made[2][j] = (float)(c2[j] >> 8) * 0x1p-24f;
      made[3][j] = (float)(c3[j] >> 8) * 0x1p-24f;
    }
#elif KIND == NORMAL
    for (int j = 0; j < TOGETHER; ++j) NORMAL_PAIR(c0[j], c1[j], made[0][j], made[1][j])
    for (int j = 0; j < TOGETHER; ++j) NORMAL_PAIR(c2[j], c3[j], made[2][j], made[3][j])
#else
    BITS bits[NUMBERS][TOGETHER];
    for (int j = 0; j < TOGETHER; ++j) {
#if KIND == INTEGERS
      bits[0][j] = c0[j];
      bits[1][j] = c1[j];
      bits[2][j] = c2[j];
      bits[3][j] = c3[j];
#else
      bits[0][j] = c0[j] | (ulong)c1[j] << 32;
      bits[1][j] = c2[j] | (ulong)c3[j] << 32;
#endif
    }
    int refused = 0;
    for (int lane = 0; lane < NUMBERS; ++lane)
      for (int j = 0; j < TOGETHER; ++j) {
        refused |= LOW_HALF(bits[lane][j]) < threshold;
        made[lane][j] = (T_OUT)(low + HIGH_HALF(bits[lane][j]));
      }
    if (refused)
      for (int lane = 0; lane < NUMBERS; ++lane)
        for (int j = 0; j < TOGETHER; ++j)
          if (LOW_HALF(bits[lane][j]) < threshold)
            made[lane][j] = (T_OUT)(low + drawn_again((block + j) * NUMBERS + lane, step, whole_key, span, threshold));
#endif
    const long at = (long)(block * NUMBERS - first);  // where the first of these numbers goes
    if (at >= 0 && at + NUMBERS * TOGETHER <= n) {
      for (int j = 0; j < TOGETHER; ++j)
#pragma unroll
        for (int lane = 0; lane < NUMBERS; ++lane) out[at + NUMBERS * j + lane] = made[lane][j];
    } else {
      for (int i = 0; i < NUMBERS * TOGETHER; ++i)
        if (at + i >= 0 && at + i < n) out[at + i] = made[i % NUMBERS][i / NUMBERS];
    }
  }
}
