// uniform: out[i] is number (first + i) of the stream named by `key`, in [0, 1) with 24 bits.
//   Philox counter: block number (first + i) / 4 in words 0 and 1, `step` in words 2 and 3.
//   step = number + *counter, so that a replayed launch can get a new step from device memory.
//   Each item makes blocks of four numbers and strides over them: global size (any,).
// Defines: T_COUNTER int, uint, long or ulong
#include "common.h"
#include "philox.h"

__kernel void uniform(const long n, const ulong first, const ulong key, const ulong number,
                      __global const T_COUNTER *restrict counter, const long counter_offset,
                      __global float *restrict out) {
  const ulong step = number + (ulong)counter[counter_offset];
  const ulong blocks_before = first / 4;
  const ulong blocks = (first + n + 3) / 4 - blocks_before;
  for (ulong b = get_global_id(0); b < blocks; b += get_global_size(0)) {
    const ulong block = blocks_before + b;
    const uint4 bits = philox((uint4)((uint)block, (uint)(block >> 32), (uint)step, (uint)(step >> 32)),
                              (uint2)((uint)key, (uint)(key >> 32)));
    uint lanes[4];
    vstore4(bits, 0, lanes);
    for (int lane = 0; lane < 4; ++lane) {
      const long i = (long)(block * 4 + lane - first);
      if (i >= 0 && i < n) out[i] = (float)(lanes[lane] >> 8) * 0x1p-24f;
    }
  }
}
