/* dropout: y = x * scale where a draw of this element's own is not below `threshold`, else 0.
 *
 * x, y: [samples, count], contiguous. NDRange: (ceil(count / 4), samples); a work-item draws for four elements.
 * Philox4x32-10 with the counter (element / 4, sample number, step, layer) and the key (seed_low, seed_high); of each
 * 32 bits the upper 24 are compared. The same bits as _dropout_numpy of nn/layers/dropout.py.
 * Source: J. Salmon and others: "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
 */
#include "common.h"

uint4 philox4x32_10(uint4 counter, uint2 key)
{
    for (int turn = 0; turn < 10; ++turn) {
        const uint high_0 = mul_hi(counter.x, 0xD2511F53u), low_0 = counter.x * 0xD2511F53u;
        const uint high_1 = mul_hi(counter.z, 0xCD9E8D57u), low_1 = counter.z * 0xCD9E8D57u;
        counter = (uint4)(high_1 ^ counter.y ^ key.x, low_1, high_0 ^ counter.w ^ key.y, low_0);
        key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

__kernel void dropout(__global const float *x, const int x_offset, __global float *y, __global const int *step,
                      __global const int *samples, const uint count, const uint seed_low, const uint seed_high,
                      const uint layer, const uint threshold, const float scale)
{
    const uint block = get_global_id(0);
    const size_t sample = get_global_id(1);
    const uint4 counter = (uint4)(block, (uint)samples[sample], (uint)step[0], layer);
    const uint4 bits = philox4x32_10(counter, (uint2)(seed_low, seed_high)) >> 8;
    const uint draws[4] = {bits.x, bits.y, bits.z, bits.w};
    const size_t row = sample * count;
    for (uint i = 4 * block; i < min(4 * block + 4, count); ++i)
        y[row + i] = draws[i % 4] >= threshold ? x[x_offset + row + i] * scale : 0.0f;
}
