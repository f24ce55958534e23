// Standard normal numbers with the same bits on every device: only +, -, * and integers, in this order, without
// contraction. tensor/random_draws.py does the very same in NumPy.
//   z = sqrt(-2 ln u) * (cos, sin)(2 pi v): G. Box and M. Muller, "A note on the generation of random normal
//   deviates", 1958. Polynomials: logf, sinf and cosf of Cephes (S. Moshier). |z| <= 6.77, errors below 1e-6.

// ln(u) for u in (0, 1].
float log_of(float u) {
  const int beyond = (int)(as_uint(u) - 0x3f3504f3u);  // how far beyond sqrt(1/2)
  const float e = (float)(beyond >> 23);
  const float f = as_float((beyond & 0x7fffff) + 0x3f3504f3) - 1.0f;
  const float z = f * f;
  float y = 7.0376836292e-2f;
  y = y * f + -1.1514610310e-1f;
  y = y * f + 1.1676998740e-1f;
  y = y * f + -1.2420140846e-1f;
  y = y * f + 1.4249322787e-1f;
  y = y * f + -1.6668057665e-1f;
  y = y * f + 2.0000714765e-1f;
  y = y * f + -2.4999993993e-1f;
  y = y * f + 3.3333331174e-1f;
  y = y * f * z;
  y = y + e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (f + y) + e * 0.693359375f;
}

// sqrt(x) for x in [0, 100], by Newton's steps towards 1 / sqrt(x): sqrt() is not exact on every device.
float sqrt_of(float x) {
  float y = as_float(0x5f3759df - (as_int(x) >> 1));
  const float half_x = 0.5f * x;
  y = y * (1.5f - half_x * y * y);
  y = y * (1.5f - half_x * y * y);
  y = y * (1.5f - half_x * y * y);
  y = y * (1.5f - half_x * y * y);
  return x * y;
}

// Two normal numbers from 64 random bits.
#define NORMAL_PAIR(bits_u, bits_v, first_out, second_out)                                      \
  {                                                                                             \
    const float r = sqrt_of(-2.0f * log_of((float)(bits_u) * 0x1p-32f + 0x1p-33f));             \
    const uint quarter = ((bits_v) + 0x20000000u) >> 30; /* of the circle, the nearest */       \
    const float a = (float)(int)((bits_v) - (quarter << 30)) * 0x1.921fb6p-30f; /* +-pi / 4 */  \
    const float z = a * a;                                                                      \
    const float s =                                                                             \
        ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z + -1.6666654611e-1f) * z * a + a;       \
    const float c =                                                                             \
        ((2.443315711809948e-5f * z + -1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - \
        0.5f * z + 1.0f;                                                                        \
    const float x = quarter & 1 ? s : c;                                                        \
    const float y = quarter & 1 ? c : s;                                                        \
    first_out = r * ((quarter + 1) & 2 ? -x : x);                                               \
    second_out = r * (quarter & 2 ? -y : y);                                                    \
  }
