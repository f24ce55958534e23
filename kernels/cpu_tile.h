// The register tile that every matrix-like kernel for CPUs shares: TILE_ROWS rows of TILE_VECTORS vectors.
//
// Twelve accumulators, two or three vectors of the right operand and one broadcast element of the left one fill the
// sixteen vector registers of AVX2. They are named, not an array: compilers keep named values in registers.
// -D TILE_VECTORS: 2 (6 × 16, the default) or 3 (4 × 24, for right operands just under a multiple of 24 wide).
// -D LANES=16, for the 32 registers of AVX-512: 12 rows of 2 vectors (12 × 32) or of 1 (12 × 16).
//
// No fma(): PoCL 3 calls a function for it, while a*b+c becomes one instruction.

#include "cpu_vectors.h"

#ifndef TILE_VECTORS
#define TILE_VECTORS 2
#endif
#if TILE_VECTORS > 3 || (LANES == 16 && TILE_VECTORS == 3) || (LANES == 8 && TILE_VECTORS == 1)
#error "There is no such tile."
#endif
#define TILE_COLUMNS (TILE_VECTORS * LANES)
#if TILE_VECTORS == 1
#define EACH_VECTOR(DO, i) DO(i, 0)
#elif TILE_VECTORS == 2
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1)
#else
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1) DO(i, 2)
#endif
#if LANES == 16
#define TILE_ROWS 12
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#elif TILE_VECTORS == 2
#define TILE_ROWS 6
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#else
#define TILE_ROWS 4
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#endif

#define TILE_ZERO_ONE(i, v) vector tile##i##v = (vector)(0.0f);
#define TILE_ZERO_ROW(i) EACH_VECTOR(TILE_ZERO_ONE, i)
#define TILE_ZERO EACH_ROW(TILE_ZERO_ROW)

// One step: tile[i] += LEFT(i) · right[0 … TILE_COLUMNS), where LEFT is a macro that the kernel defines.
#define TILE_RIGHT(unused, v) const vector right##v = LOAD(right + LANES * v);
#define TILE_ADD_ONE(i, v) tile##i##v += left * right##v;
#define TILE_ADD_ROW(i) { const vector left = (vector)(LEFT(i)); EACH_VECTOR(TILE_ADD_ONE, i) }
#define TILE_ADD { EACH_VECTOR(TILE_RIGHT, 0) EACH_ROW(TILE_ADD_ROW) }

// The tile into memory: row i starts at `to + i * row_stride`; `rows` and `columns` of it exist.
// With `onto` it is added to what is there.
#define TILE_STORE_ONE(i, v)                                                                     \
    STORE(row + LANES * v, onto ? tile##i##v + LOAD(row + LANES * v) : tile##i##v);
#define TILE_STORE_ROW(i)                                                                        \
    if (i < rows) { __global float *row = to + i * row_stride; EACH_VECTOR(TILE_STORE_ONE, i) }
#if LANES == 16
// Through memory: LLVM 14 takes halves out of the lower sixteen registers only, keeps all vectors there, and spills.
#define TILE_STORE_PART_ONE(i, v) *(vector_anywhere *)(part + TILE_COLUMNS * i + LANES * v) = tile##i##v;
#define TILE_STORE_PART_ROW(i) EACH_VECTOR(TILE_STORE_PART_ONE, i)
#define TILE_STORE_PART                                                                          \
    float part[TILE_ROWS * TILE_COLUMNS];                                                        \
    EACH_ROW(TILE_STORE_PART_ROW)                                                                \
    for (int i = 0; i < min(rows, TILE_ROWS); ++i)                                               \
        for (int j = 0; j < columns; j += 8)                                                     \
            store_part(to + i * row_stride + j, *(float8_anywhere *)(part + TILE_COLUMNS * i + j), columns - j, onto);
#else
#define TILE_STORE_PART_ONE(i, v) store_part(row + 8 * v, tile##i##v, columns - 8 * v, onto);
#define TILE_STORE_PART_ROW(i)                                                                   \
    if (i < rows) { __global float *row = to + i * row_stride; EACH_VECTOR(TILE_STORE_PART_ONE, i) }
#define TILE_STORE_PART EACH_ROW(TILE_STORE_PART_ROW)
#endif
#define TILE_STORE                                                                               \
    if (columns == TILE_COLUMNS) { EACH_ROW(TILE_STORE_ROW) } else { TILE_STORE_PART }

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
