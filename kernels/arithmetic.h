// NumPy's integer division, remainder, power and shifts for the type COMPUTE, in which C leaves cases open.
// A macro INTEGER says whether COMPUTE is one.

#if INTEGER
#define BITS (8 * (int)sizeof(COMPUTE))

// Rounded down; 0 where b is 0. The smallest integer by −1, which traps on CPUs, wraps.
inline COMPUTE floor_divide(COMPUTE a, COMPUTE b) {
  if (b == 0) return 0;
  if (b < 0 && b == (COMPUTE)-1) return (COMPUTE)(0 - (ulong)a);
  const COMPUTE quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// The remainder with the sign of b; 0 where b is 0.
inline COMPUTE remainder_of(COMPUTE a, COMPUTE b) {
  if (b == 0 || (b < 0 && b == (COMPUTE)-1)) return 0;
  const COMPUTE rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// By squaring, wrapping as multiplication does. A negative power of anything but ±1 is 0.
inline COMPUTE power(COMPUTE base, COMPUTE exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == (COMPUTE)-1 ? (exponent & 1 ? -1 : 1) : 0;
  ulong result = 1, square = (ulong)base;
  for (; exponent; exponent >>= 1) {
    if (exponent & 1) result *= square;
    square *= square;
  }
  return (COMPUTE)result;
}

// Every bit is gone when the shift is as wide as the type; negative shifts are, too.
inline COMPUTE shift_left(COMPUTE a, COMPUTE b) { return b >= 0 && b < BITS ? (COMPUTE)((ulong)a << b) : 0; }
inline COMPUTE shift_right(COMPUTE a, COMPUTE b) { return b >= 0 && b < BITS ? a >> b : a < 0 ? -1 : 0; }
#else
// As Python has it: the quotient and the remainder fit each other, the remainder has the sign of b.
inline COMPUTE remainder_of(COMPUTE a, COMPUTE b) {
  const COMPUTE rest = fmod(a, b);
  return rest == 0 ? copysign((COMPUTE)0, b) : (rest < 0) != (b < 0) ? rest + b : rest;
}

inline COMPUTE floor_divide(COMPUTE a, COMPUTE b) {
  if (b == 0) return a / b;
  const COMPUTE rest = fmod(a, b);
  COMPUTE quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return copysign((COMPUTE)0, a / b);
  const COMPUTE whole = floor(quotient);
  return quotient - whole > (COMPUTE)0.5f ? whole + 1 : whole;
}
#endif
