// draw: out[i] is number (first + i) of the stream named by `key`, by its KIND:
//   UNIFORM        float in [0, 1) with 24 bits
//   NORMAL         float of the standard normal distribution, by Box and Muller (normal.h)
//   INTEGERS       low + an integer below `span` <= 2^32, every one equally likely
//   WIDE_INTEGERS  the same for larger spans; 0 stands for 2^64
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
#else
#define NUMBERS 4
#endif

#if CPU
#define TOGETHER 16  // blocks side by side, so that the compiler can vectorise the rounds
#else
#define TOGETHER 1
#endif

#if KIND == INTEGERS || KIND == WIDE_INTEGERS
// An integer below span by multiplying and taking the high half: D. Lemire, "Fast random integer generation in
// an interval", 2019. A draw whose low half is below threshold = 2^bits mod span would make some integers more
// likely; another one takes its place, from a block that this element has to itself.
ulong integer_below(ulong bits, ulong element, ulong step, uint2 key, ulong span, ulong threshold) {
  for (ulong attempt = 1;; ++attempt) {
#if KIND == INTEGERS
    const ulong product = bits * span;
    if ((uint)product >= threshold) return product >> 32;
#else
    if (span == 0) return bits;
    if (bits * span >= threshold) return mul_hi(bits, span);
#endif
    const uint4 again =
        philox((uint4)((uint)element, (uint)((element >> 32) | attempt << 16), (uint)step, (uint)(step >> 32)), key);
    bits = KIND == INTEGERS ? again.x : again.x | (ulong)again.y << 32;
  }
}
#endif

__kernel void draw(const long n, const ulong first, const ulong key, const ulong number,
                   __global const T_COUNTER *restrict counter, const long counter_offset,
#if KIND == INTEGERS || KIND == WIDE_INTEGERS
                   const ulong low, const ulong span, const ulong threshold,
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
    T_OUT made[TOGETHER * NUMBERS];
    for (int j = 0; j < TOGETHER; ++j) {
#if KIND == UNIFORM
      made[4 * j] = (float)(c0[j] >> 8) * 0x1p-24f;
      made[4 * j + 1] = (float)(c1[j] >> 8) * 0x1p-24f;
      made[4 * j + 2] = (float)(c2[j] >> 8) * 0x1p-24f;
      made[4 * j + 3] = (float)(c3[j] >> 8) * 0x1p-24f;
#elif KIND == NORMAL
      NORMAL_PAIR(c0[j], c1[j], made[4 * j], made[4 * j + 1])
      NORMAL_PAIR(c2[j], c3[j], made[4 * j + 2], made[4 * j + 3])
#else
#if KIND == INTEGERS
      const ulong bits[4] = {c0[j], c1[j], c2[j], c3[j]};
#else
      const ulong bits[2] = {c0[j] | (ulong)c1[j] << 32, c2[j] | (ulong)c3[j] << 32};
#endif
      for (int lane = 0; lane < NUMBERS; ++lane) {
        const ulong element = (block + j) * NUMBERS + lane;
        made[j * NUMBERS + lane] =
            (T_OUT)(low + integer_below(bits[lane], element, step, whole_key, span, threshold));
      }
#endif
    }
    const long at = (long)(block * NUMBERS - first);  // where the first of these numbers goes
    if (at >= 0 && at + NUMBERS * TOGETHER <= n) {
      for (int i = 0; i < NUMBERS * TOGETHER; ++i) out[at + i] = made[i];
    } else {
      for (int i = 0; i < NUMBERS * TOGETHER; ++i)
        if (at + i >= 0 && at + i < n) out[at + i] = made[i];
    }
  }
}
