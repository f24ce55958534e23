/* dropout: y = x * scale where a draw of this element's own is not below `threshold`, else 0.
 *
 * x, y: [samples, count], contiguous. NDRange: (ceil(count / 4), samples); a work-item draws for four elements.
 * Philox with the counter (element / 4, sample number, step, 0) and the key `key`; of each 32 bits the upper 24 are
 * compared. The same bits as _dropout_numpy of nn/layers/dropout.py.
 */
#include "common.h"
#include "philox.h"

__kernel void dropout(__global const float *x, const int x_offset, __global float *y, __global const int *step,
                      __global const int *samples, const uint count, const ulong key,
                      const uint threshold, const float scale)
{
    const uint block = get_global_id(0);
    const size_t sample = get_global_id(1);
    const uint4 counter = (uint4)(block, (uint)samples[sample], (uint)step[0], 0u);
    const uint4 bits = philox(counter, (uint2)((uint)key, (uint)(key >> 32))) >> 8;
    const uint draws[4] = {bits.x, bits.y, bits.z, bits.w};
    const size_t row = sample * count;
    for (uint i = 4 * block; i < min(4 * block + 4, count); ++i)
        y[row + i] = draws[i % 4] >= threshold ? x[x_offset + row + i] * scale : 0.0f;
}
