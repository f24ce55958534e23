// Sum over the 32-bit words of an array of mix(place, word), modulo 2^64: sums may be added in any order, yet each word's
// share depends on its place. One partial sum per work-item, global size (any,): on a GPU work-items stride over the
// words, on a CPU each one takes a block of them.
//
// Defines: BYTES 1 where words have to be put together from bytes (small dtypes, any length), else 0
#include "common.h"

// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection in which every bit reaches every other.
ulong mix(ulong z) {
  z += 0x9E3779B97F4A7C15UL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
  return z ^ (z >> 31);
}

__kernel void checksum(const long size_bytes, const long offset_bytes, __global const uchar *restrict x,
                       __global ulong *restrict partial) {
  const long words = (size_bytes + 3) / 4;
  x += offset_bytes;
  ulong total = 0;
#if CPU
  const long each = (words + get_global_size(0) - 1) / get_global_size(0);
  const long begin = get_global_id(0) * each, end = min(begin + each, words), step = 1;
#else
  const long begin = get_global_id(0), end = words, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
#if BYTES
    uint word = 0;
    for (int j = 0; j < 4; ++j)
      if (i * 4 + j < size_bytes) word |= (uint)x[i * 4 + j] << (8 * j);
#else
    const uint word = ((__global const uint *)x)[i];
#endif
    total += mix(((ulong)i << 32) ^ word);
  }
  partial[get_global_id(0)] = total;
}
