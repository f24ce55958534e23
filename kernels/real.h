// The numbers of a network's flat vectors: `real` is float, or with DOUBLE double. Every result that is denormal, or −0,
// becomes +0, on every device.
#if DOUBLE
#define real double
#define NUMBER(x) x
#define BITS(x) as_ulong(x)
#define EXPONENT 0x7ff0000000000000ul
#define AS_REAL(bits) as_double(bits)
#else
#define real float
#define NUMBER(x) x##f
#define BITS(x) as_uint(x)
#define EXPONENT 0x7f800000u
#define AS_REAL(bits) as_float(bits)
#endif

// An exponent of 0 is that of zeros and denormals. (Through fabs the loop is not vectorised by PoCL 3.0.)
real flushed(real x) { return AS_REAL((BITS(x) & EXPONENT) ? BITS(x) : 0); }
