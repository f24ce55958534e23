// float16 and bfloat16 as they lie in memory, ushort, from and to float: to nearest, to even where two are as near. By bits
// alone, so that it is the same where a device has no cl_khr_fp16 or flushes denormals.

inline float from_bfloat16(ushort x) { return as_float((uint)x << 16); }

inline ushort to_bfloat16(float x) {
  const uint bits = as_uint(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

// An exponent of 0 means a whole number of 2^-24; others are 112 larger in a float, 224 for infinity and NaN.
inline float from_float16(ushort x) {
  const uint sign = (uint)(x & 0x8000u) << 16, rest = x & 0x7fffu;
  const uint normal = (rest << 13) + (rest < 0x7c00u ? 112u << 23 : 224u << 23);
  return as_float(sign | (rest < 0x400u ? as_uint((float)rest * 0x1p-24f) : normal));
}

// Below 2^-14 numbers are rounded to whole 2^-24, as they are when 0.5 is added. From 65,520 on they are infinite.
inline ushort to_float16(float x) {
  const uint sign = as_uint(x) >> 16 & 0x8000u, rest = as_uint(x) & 0x7fffffffu;
  const uint normal = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13;
  const uint small = as_uint(as_float(rest) + 0.5f) - as_uint(0.5f);
  const uint finite = rest < 113u << 23 ? small : normal;
  return (ushort)(sign | (rest > 0x7f800000u ? 0x7e00u : rest >= 0x477ff000u ? 0x7c00u : finite));
}
