// The vectors of products on CPUs: -D LANES, 8 (the default, AVX2) or 16 (AVX-512).
//
// float16 only in functions with WIDE_VECTORS: without, PoCL 3 aborts on some of it where there is AVX-512, as on vload16.
#include "vectors.h"

#ifndef LANES
#define LANES 8
#endif
#if LANES == 16
typedef float16 vector;
typedef float16 vector_anywhere __attribute__((aligned(4)));
#define WIDE_VECTORS __attribute__((min_vector_width(512)))
#else
typedef float8 vector;
typedef float8_anywhere vector_anywhere;
#define WIDE_VECTORS
#endif
#define LOAD(p) (*(const __global vector_anywhere *)(p))
#define STORE(p, value) (*(__global vector_anywhere *)(p) = (value))
