// uniform: out[i] is number (first + i) of the stream named by `key`, in [0, 1) with 24 bits.
//   Philox counter: block number (first + i) / 4 in words 0 and 1, `step` in words 2 and 3.
//   step = number + *counter, so that a replayed launch can get a new step from device memory.
//   Each item makes blocks of four numbers, TOGETHER at a time, and strides over them: global size (any,).
// Defines: T_COUNTER int, uint, long or ulong
#include "common.h"
#include "philox.h"

// The top 24 bits as a number in [0, 1).
#define UNIFORM(bits) ((float)((bits) >> 8) * 0x1p-24f)

#if CPU
#define TOGETHER 16  // blocks side by side, so that the compiler can vectorise the rounds
#else
#define TOGETHER 1
#endif

__kernel void uniform(const long n, const ulong first, const ulong key, const ulong number,
                      __global const T_COUNTER *restrict counter, const long counter_offset,
                      __global float *restrict out) {
  const ulong step = number + (ulong)counter[counter_offset];
  const ulong blocks_before = first / 4;
  const ulong blocks = (first + n + 3) / 4 - blocks_before;
  for (ulong b = get_global_id(0) * TOGETHER; b < blocks; b += get_global_size(0) * TOGETHER) {
    const ulong block = blocks_before + b;
    uint c0[TOGETHER], c1[TOGETHER], c2[TOGETHER], c3[TOGETHER];
    for (int j = 0; j < TOGETHER; ++j) {
      c0[j] = (uint)(block + j);
      c1[j] = (uint)((block + j) >> 32);
      c2[j] = (uint)step;
      c3[j] = (uint)(step >> 32);
    }
    uint2 k = (uint2)((uint)key, (uint)(key >> 32));
    for (int round_ = 0; round_ < 10; ++round_) {
      for (int j = 0; j < TOGETHER; ++j) PHILOX_ROUND(c0[j], c1[j], c2[j], c3[j], k.x, k.y)
      k += PHILOX_KEY_STEP;
    }
    const long at = (long)(block * 4 - first);  // where the first of these numbers goes
    if (at >= 0 && at + 4 * TOGETHER <= n) {
      for (int j = 0; j < TOGETHER; ++j) {
        out[at + 4 * j] = UNIFORM(c0[j]);
        out[at + 4 * j + 1] = UNIFORM(c1[j]);
        out[at + 4 * j + 2] = UNIFORM(c2[j]);
        out[at + 4 * j + 3] = UNIFORM(c3[j]);
      }
    } else {
      for (int j = 0; j < TOGETHER; ++j) {
        const uint lanes[4] = {c0[j], c1[j], c2[j], c3[j]};
        for (int lane = 0; lane < 4; ++lane) {
          const long i = at + 4 * j + lane;
          if (i >= 0 && i < n) out[i] = UNIFORM(lanes[lane]);
        }
      }
    }
  }
}
