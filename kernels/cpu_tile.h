// The register tile that every matrix-like kernel for CPUs shares: TILE_ROWS rows of TILE_VECTORS vectors.
//
// Twelve accumulators, two or three vectors of the right operand and one broadcast element of the left one fill the
// sixteen vector registers of AVX2. They are named, not an array: compilers keep named values in registers.
// -D TILE_VECTORS: 2 (6 × 16, the default) or 3 (4 × 24, for right operands just under a multiple of 24 wide).
// -D TILE_LANES: 8 (the default) or, with two vectors a row, 16: 12 × 32, for the 32 registers of AVX-512.
//
// float16 only in functions with WIDE_VECTORS: without, PoCL 3 aborts on some of it where there is AVX-512, as on vload16.
// No fma(): PoCL 3 calls a function for it, while a*b+c becomes one instruction.

#ifndef TILE_VECTORS
#define TILE_VECTORS 2
#endif
#ifndef TILE_LANES
#define TILE_LANES 8
#endif
#if TILE_LANES == 16
#define TILE_ROWS 12
#define TILE_COLUMNS 32
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1)
#elif TILE_VECTORS == 2
#define TILE_ROWS 6
#define TILE_COLUMNS 16
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1)
#else
#define TILE_ROWS 4
#define TILE_COLUMNS 24
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1) DO(i, 2)
#endif

#include "vectors.h"

#if TILE_LANES == 16
typedef float16 tile_vector;
typedef float16 tile_vector_anywhere __attribute__((aligned(4)));
#define WIDE_VECTORS __attribute__((min_vector_width(512)))
#else
typedef float8 tile_vector;
typedef float8_anywhere tile_vector_anywhere;
#define WIDE_VECTORS
#endif
#define TILE_LOAD(p) (*(const __global tile_vector_anywhere *)(p))
#define TILE_PUT(p, value) (*(__global tile_vector_anywhere *)(p) = (value))

#define TILE_ZERO_ONE(i, v) tile_vector tile##i##v = (tile_vector)(0.0f);
#define TILE_ZERO_ROW(i) EACH_VECTOR(TILE_ZERO_ONE, i)
#define TILE_ZERO EACH_ROW(TILE_ZERO_ROW)

// One step: tile[i] += LEFT(i) · right[0 … TILE_COLUMNS), where LEFT is a macro that the kernel defines.
#define TILE_RIGHT(unused, v) const tile_vector right##v = TILE_LOAD(right + TILE_LANES * v);
#define TILE_ADD_ONE(i, v) tile##i##v += left * right##v;
#define TILE_ADD_ROW(i) { const tile_vector left = (tile_vector)(LEFT(i)); EACH_VECTOR(TILE_ADD_ONE, i) }
#define TILE_ADD { EACH_VECTOR(TILE_RIGHT, 0) EACH_ROW(TILE_ADD_ROW) }

// The tile into memory: row i starts at `to + i * row_stride`; `rows` and `columns` of it exist.
// With `onto` it is added to what is there.
#define TILE_STORE_ONE(i, v)                                                                     \
    TILE_PUT(row + TILE_LANES * v, onto ? tile##i##v + TILE_LOAD(row + TILE_LANES * v) : tile##i##v);
#define TILE_STORE_ROW(i)                                                                        \
    if (i < rows) { __global float *row = to + i * row_stride; EACH_VECTOR(TILE_STORE_ONE, i) }
#if TILE_LANES == 16
#define TILE_STORE_PART_ONE(i, v)                                                                \
    store_part(row + 16 * v, tile##i##v.lo, columns - 16 * v, onto);                             \
    store_part(row + 16 * v + 8, tile##i##v.hi, columns - 16 * v - 8, onto);
#else
#define TILE_STORE_PART_ONE(i, v) store_part(row + 8 * v, tile##i##v, columns - 8 * v, onto);
#endif
#define TILE_STORE_PART_ROW(i)                                                                   \
    if (i < rows) { __global float *row = to + i * row_stride; EACH_VECTOR(TILE_STORE_PART_ONE, i) }
#define TILE_STORE                                                                               \
    if (columns == TILE_COLUMNS) { EACH_ROW(TILE_STORE_ROW) } else { EACH_ROW(TILE_STORE_PART_ROW) }

// The first `count` elements of a vector, in as few stores as its bits need.
inline void store_part(__global float *to, float8 value, int count, int onto)
{
    if (count >= 8) {
        STORE8(to, onto ? value + LOAD8(to) : value);
        return;
    }
    if (count <= 0)
        return;
    if (count & 4) {
        STORE4(to, onto ? value.lo + LOAD4(to) : value.lo);
        to += 4;
        value.lo = value.hi;
    }
    if (count & 2) {
        to[0] = onto ? to[0] + value.s0 : value.s0;
        to[1] = onto ? to[1] + value.s1 : value.s1;
        to += 2;
        value.s0 = value.s2;
    }
    if (count & 1)
        to[0] = onto ? to[0] + value.s0 : value.s0;
}

// Eight rows of eight, turned: column s of the rows r0 … r7.
#define COLUMN8(s) (float8)(r0.s, r1.s, r2.s, r3.s, r4.s, r5.s, r6.s, r7.s)
