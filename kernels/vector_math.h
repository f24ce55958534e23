// Elementary functions of a float in plain arithmetic without branches, so that a compiler can vectorise a loop over them.
//
// PoCL's own are calls, one element at a time: 3 to 8 ns each against 0.1 to 0.3 ns here (docs/log.md). Errors are below
// 2 ulp, which tests hold against float64. Polynomials and splittings of constants are those of Cephes (S. Moshier,
// expf.c, sinhf.c) and of fdlibm (Sun Microsystems, logf, log1pf, log2f, log10f).
//
// Included where COMPUTE, which is a macro, is the type of an expression; from here on exp(a) in it means ours.

#define NAMES_float 1
#define NAMES_JOIN_(a, b) a##b
#define NAMES_JOIN(a, b) NAMES_JOIN_(a, b)

#if NAMES_JOIN(NAMES_, COMPUTE)
// These are not the same bits on every device anyway, so a*b+c may be one instruction in them.
#pragma OPENCL FP_CONTRACT ON
#define ALWAYS_INLINE static inline __attribute__((always_inline))

// exp(x) · 2^shift. x = n·ln 2 + r; adding and subtracting 1.5 · 2²³ rounds to an integer, whose bits are then in sight.
ALWAYS_INLINE float exp_shifted(float x, int shift) {
  const float bounded = x > 90.0f ? 90.0f : x < -105.0f ? -105.0f : x;
  const float sum = bounded * 1.44269504f + 12582912.0f, n = sum - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float y = (p * (r * r) + r) + 1.0f;
  // In two factors: one alone could not reach the denormal numbers, nor the very largest.
  const int power = as_int(sum) - as_int(12582912.0f) + shift, half_ = power >> 1;
  return y * as_float((half_ + 127) << 23) * as_float((power - half_ + 127) << 23);
}

ALWAYS_INLINE float vector_exp(float x) { return exp_shifted(x, 0); }

ALWAYS_INLINE float vector_expm1(float x) {
  const float bounded = x > 90.0f ? 90.0f : x < -18.0f ? -18.0f : x;
  const float sum = bounded * 1.44269504f + 12582912.0f, n = sum - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const int power = as_int(sum) - as_int(12582912.0f), half_ = power >> 1;
  // 2^n · (expm1(r) + 1 − 2^−n)
  const float one = power > 30 ? 1.0f : 1.0f - as_float((127 - power) << 23);
  const float y = (p * (r * r) + r) + one;
  return x == 0 ? x : y * as_float((half_ + 127) << 23) * as_float((power - half_ + 127) << 23);
}

// What the logarithms share: x = 2^k · (1 + f) with √½ ≤ 1 + f < √2, and log(1 + f) = f − f²/2 + rest.
#define SPLIT_LOGARITHM(x)                                                                               \
  const int tiny = (x) < 1.17549435e-38f;                                                                \
  const int bits = as_int(tiny ? (x)*8388608.0f : (x));                                                  \
  const int power = (bits - 0x3f3504f3) >> 23;                                                           \
  const float k = (float)(power - (tiny ? 23 : 0));                                                      \
  const float f = as_float(bits - (power << 23)) - 1.0f;                                                 \
  float p = 7.0376836292e-2f;                                                                            \
  p = p * f - 1.1514610310e-1f;                                                                          \
  p = p * f + 1.1676998740e-1f;                                                                          \
  p = p * f - 1.2420140846e-1f;                                                                          \
  p = p * f + 1.4249322787e-1f;                                                                          \
  p = p * f - 1.6668057665e-1f;                                                                          \
  p = p * f + 2.0000714765e-1f;                                                                          \
  p = p * f - 2.4999993993e-1f;                                                                          \
  p = p * f + 3.3333331174e-1f;                                                                          \
  const float f2 = f * f, square = 0.5f * f2, rest = p * (f2 * f);

// ±0, negative numbers, ∞ and NaN.
#define LOGARITHM_OR_LIMIT(x, zero, value) ((x) < INFINITY ? (x) > (zero) ? (value) : (x) == (zero) ? -INFINITY : NAN : (x))

ALWAYS_INLINE float vector_log(float x) {
  SPLIT_LOGARITHM(x)
  return LOGARITHM_OR_LIMIT(x, 0.0f, rest + k * 9.0580006145e-6f - square + f + k * 6.9313812256e-1f);
}

ALWAYS_INLINE float vector_log1p(float x) {
  const float u = 1.0f + x;
  SPLIT_LOGARITHM(u)
  const float lost = (u > 2.0f ? 1.0f - (u - x) : x - (u - 1.0f)) / u;  // by rounding 1 + x
  const float y = rest + (k * 9.0580006145e-6f + lost) - square + f + k * 6.9313812256e-1f;
  return x == 0 ? x : LOGARITHM_OR_LIMIT(x, -1.0f, y);
}

// In other bases the product needs f − f²/2 in two parts, the first one with 12 bits to spare.
#define TWO_PARTS                                                                                        \
  const float high = as_float(as_int(f - square) & 0xfffff000), low = (f - high) - square + rest;

ALWAYS_INLINE float vector_log2(float x) {
  SPLIT_LOGARITHM(x)
  TWO_PARTS
  return LOGARITHM_OR_LIMIT(
      x, 0.0f, (low + high) * -1.7605285393e-4f + low * 1.4428710938f + high * 1.4428710938f + k);
}

ALWAYS_INLINE float vector_log10(float x) {
  SPLIT_LOGARITHM(x)
  TWO_PARTS
  const float fraction = (low + high) * -3.1689971365e-5f + low * 4.3432617188e-1f + high * 4.3432617188e-1f;
  return LOGARITHM_OR_LIMIT(x, 0.0f, k * 7.9034151668e-7f + fraction + k * 3.0102920532e-1f);
}

// tanh |x| = E / (E + 2) with E = exp(2|x|) − 1 = 2^n · (exp(r) − 1) + 2^n − 1, where 2|x| = n·ln 2 + r. The polynomial
// is Chebyshev's interpolation of (exp(r) − 1 − r) / r². Where E is small, y = E/2 − E/2 · y has less of the rounding of y.
ALWAYS_INLINE float vector_tanh(float x) {
  const float size = __builtin_fabsf(x), twice = 2.0f * (size > 10.0f ? 10.0f : size);  // from there on it is 1
  const float sum = twice * 1.44269504f + 12582912.0f, n = sum - 12582912.0f;
  const float r = twice - n * 0.693147181f;
  float p = 1.392621347e-3f;
  p = p * r + 8.363202972e-3f;
  p = p * r + 4.166655444e-2f;
  p = p * r + 1.666657685e-1f;
  p = p * r + 0.5f;
  const float q = p * (r * r) + r, power = as_float((as_int(sum) << 23) + 0x3f800000);
  const float E = power * q + (power - 1.0f), half_ = 0.5f * E, y = E / (E + 2.0f);
  return __builtin_copysignf(size < 0.3f ? half_ - half_ * y : y, x);
}

ALWAYS_INLINE float vector_cosh(float x) {
  const float half_ = exp_shifted(__builtin_fabsf(x), -1);
  return half_ + 0.25f / half_;
}

ALWAYS_INLINE float vector_sinh(float x) {
  const float size = __builtin_fabsf(x), z = x * x;
  const float near = size + size * z * ((2.03721912945e-4f * z + 8.33028376239e-3f) * z + 1.66667160211e-1f);
  const float half_ = exp_shifted(size, -1);
  return __builtin_copysignf(size < 1.0f ? near : half_ - 0.25f / half_, x);
}

// Source: N. Juffa's erff.
ALWAYS_INLINE float vector_erf(float x) {
  const float size = __builtin_fabsf(x), z = x * x;
  float p = -5.96761703e-4f;
  p = p * z + 4.99119423e-3f;
  p = p * z - 2.67681349e-2f;
  p = p * z + 1.12819925e-1f;
  p = p * z - 3.76125336e-1f;
  p = p * z + 1.28379166e-1f;
  const float near = p * x + x, t = size > 8.0f ? 8.0f : size;
  float q = (-1.72853470e-5f * t + 3.83197126e-4f) * (t * t) + (-3.88396438e-3f * t + 2.42546219e-2f);
  q = q * t - 1.06777877e-1f;
  q = q * t - 6.34846687e-1f;
  q = q * t - 1.28717512e-1f;
  const float far = 1.0f - exp_shifted(q * t - t, 0);
  return x != x ? x : __builtin_copysignf(size > 0.927734375f ? far : __builtin_fabsf(near), x);
}

#pragma OPENCL FP_CONTRACT OFF

// PoCL has macros of these names.
#undef exp
#undef expm1
#undef log
#undef log1p
#undef log2
#undef log10
#undef tanh
#undef cosh
#undef sinh
#undef erf
#undef sqrt
#undef fabs
#undef floor
#undef ceil
#undef trunc
#undef rint
#undef copysign
#define exp vector_exp
#define expm1 vector_expm1
#define log vector_log
#define log1p vector_log1p
#define log2 vector_log2
#define log10 vector_log10
#define tanh vector_tanh
#define cosh vector_cosh
#define sinh vector_sinh
#define erf vector_erf
// One instruction each, once the compiler is told.
#define sqrt __builtin_sqrtf
#define fabs __builtin_fabsf
#define floor __builtin_floorf
#define ceil __builtin_ceilf
#define trunc __builtin_truncf
#define rint __builtin_rintf
#define copysign __builtin_copysignf
#endif
