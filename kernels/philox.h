// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the counter goes in, four
// independent 32-bit numbers come out, so any element can be made by itself, on any device, with the same bits.

// One round on the counter words c0 … c3 with the key words k0, k1.
#define PHILOX_ROUND(c0, c1, c2, c3, k0, k1)          \
  {                                                   \
    const ulong product0 = (ulong)(c0) * 0xD2511F53u; \
    const ulong product1 = (ulong)(c2) * 0xCD9E8D57u; \
    c0 = (uint)(product1 >> 32) ^ c1 ^ k0;            \
    c1 = (uint)product1;                              \
    c2 = (uint)(product0 >> 32) ^ c3 ^ k1;            \
    c3 = (uint)product0;                              \
  }

// What the key moves on by after each round.
#define PHILOX_KEY_STEP (uint2)(0x9E3779B9u, 0xBB67AE85u)

uint4 philox(uint4 c, uint2 k) {
  for (int round_ = 0; round_ < 10; ++round_) {
    PHILOX_ROUND(c.x, c.y, c.z, c.w, k.x, k.y)
    k += PHILOX_KEY_STEP;
  }
  return c;
}
