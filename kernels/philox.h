// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the counter goes in, four
// independent 32-bit numbers come out, so any element can be made by itself, on any device, with the same bits.

// One round on the counter words c0 … c3 with the key words k0, k1, which then move on.
#define ROUND(c0, c1, c2, c3, k0, k1)                \
  {                                                  \
    const ulong product0 = (ulong)(c0) * 0xD2511F53u; \
    const ulong product1 = (ulong)(c2) * 0xCD9E8D57u; \
    c0 = (uint)(product1 >> 32) ^ c1 ^ k0;           \
    c1 = (uint)product1;                             \
    c2 = (uint)(product0 >> 32) ^ c3 ^ k1;           \
    c3 = (uint)product0;                             \
  }

// All ten rounds for one counter.
uint4 philox(uint4 c, uint2 k) {
  uint c0 = c.x, c1 = c.y, c2 = c.z, c3 = c.w;
  for (int round_ = 0; round_ < 10; ++round_) {
    ROUND(c0, c1, c2, c3, k.x, k.y)
    k += (uint2)(0x9E3779B9u, 0xBB67AE85u);
  }
  return (uint4)(c0, c1, c2, c3);
}
