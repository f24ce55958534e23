// Dropout: y = x · scale where a draw of this element's own is not below `threshold`, else 0; the same bits as
// _dropout_numpy of nn/layers/dropout.py.
//
// x, y: [rows, count], contiguous; samples: [rows], the number of each row's sample.
//   Philox counter: element / 4, sample number, step, 0; of each 32 bits the upper 24 are compared.
//   A block is four elements of a row. GPU: global size (any,), work-items stride over the blocks.
//   CPU: one work-item per `each` blocks.
#include "common.h"
#include "philox.h"

ONE_ITEM_A_GROUP
__kernel void dropout(const long rows, const long each, const long count, __global const float *restrict x,
                      const long x_offset, __global float *restrict y, __global const int *restrict step_number,
                      __global const int *restrict samples, const ulong key, const uint threshold,
                      const float scale) {
  const long blocks_a_row = (count + 3) / 4, blocks = rows * blocks_a_row;
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, blocks), step = 1;
#else
  const long begin = get_global_id(0), end = blocks, step = get_global_size(0);
#endif
  x += x_offset;
  for (long b = begin; b < end; b += step) {
    const long row = b / blocks_a_row, block = b % blocks_a_row;
    const uint4 counter = (uint4)((uint)block, (uint)samples[row], (uint)step_number[0], 0u);
    const uint4 bits = philox(counter, (uint2)((uint)key, (uint)(key >> 32))) >> 8;
    uint lanes[4];
    vstore4(bits, 0, lanes);
    const long first = row * count + 4 * block, width = min(4L, count - 4 * block);
    for (int lane = 0; lane < width; ++lane)
      y[first + lane] = lanes[lane] >= threshold ? x[first + lane] * scale : 0.0f;
  }
}
