// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the counter goes in, four
// independent 32-bit numbers come out, so any element can be made by itself, on any device, with the same bits.
// In scalars, and without mul_hi, since PoCL 3.0 makes a library call of that and shuffles of uint4.
uint4 philox(uint4 c, uint2 k) {
  uint c0 = c.x, c1 = c.y, c2 = c.z, c3 = c.w, k0 = k.x, k1 = k.y;
  for (int round_ = 0; round_ < 10; ++round_) {
    const ulong wide0 = (ulong)c0 * 0xD2511F53u, wide1 = (ulong)c2 * 0xCD9E8D57u;
    c0 = (uint)(wide1 >> 32) ^ c1 ^ k0;
    c2 = (uint)(wide0 >> 32) ^ c3 ^ k1;
    c1 = (uint)wide1;
    c3 = (uint)wide0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (uint4)(c0, c1, c2, c3);
}
