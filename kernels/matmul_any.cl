// Matrix product of any real dtype: C[batch, M, N] = A[batch, M, K] · B[batch, K, N], any strides, C row-major.
//
// -D T: the dtype. -D SUM: what products are added up in: double, or an unsigned integer, which wraps as T does.
// -D SUMS, WIDTH: a vector of 32 bytes of SUM (PoCL 3 aborts at wider ones), and how many SUM it holds.
// Strides and offsets count elements. No work-item adds across K with another one: the same bits at each call.

#include "common.h"
#pragma OPENCL FP_CONTRACT ON // one rounding less, a tenth faster; other devices add in another order anyway

#if CPU

// One group makes a block of `rows` × COLUMNS. It packs as much of B as lies in the first cache, and each step of
// its inner loop adds to a tile of 4 × 2 vectors, which stays in registers.   NDRange (N/COLUMNS, M/rows, batch)
#define COLUMNS (2 * WIDTH)
#define DEPTH 128
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

#define ROW_OF_A(i) const __global T *a##i = a + min(row + i, M - 1) * a_rows + k0 * a_columns;
#define ZERO(i) SUMS low##i = (SUMS)(0), high##i = (SUMS)(0);
#define ADD(i) { const SUMS left = (SUMS)((SUM)*a##i); low##i += left * b0; high##i += left * b1; a##i += a_columns; }
#define STORE(i) if (row + i < end) { tile[0] = low##i; tile[1] = high##i;                                     \
        store(c + (row + i) * N + column, (const SUM *)tile, columns, k0 > 0); }

inline void store(__global T *c, const SUM *values, int columns, int onto)
{
    for (int j = 0; j < columns; ++j)
        c[j] = (T)(onto ? (SUM)c[j] + values[j] : values[j]);
}

__kernel ONE_ITEM_A_GROUP
void matmul_any(const __global T *a, long a_offset, long a_stack, long a_rows, long a_columns,
                const __global T *b, long b_offset, long b_stack, long b_rows, long b_columns,
                __global T *c, long c_offset, long M, long N, long K, long rows)
{
    __local SUMS packed[DEPTH * 2];
    SUMS tile[2];
    const long column = get_group_id(0) * COLUMNS, first = get_group_id(1) * rows, end = min(first + rows, M);
    const int columns = min((long)COLUMNS, N - column);
    a += a_offset + get_group_id(2) * a_stack;
    b += b_offset + get_group_id(2) * b_stack + column * b_columns;
    c += c_offset + get_group_id(2) * M * N;
    for (long k0 = 0; k0 < K; k0 += DEPTH) {
        const int depth = min((long)DEPTH, K - k0);
        for (int k = 0; k < depth; ++k)
            for (int j = 0; j < COLUMNS; ++j)
                ((__local SUM *)packed)[k * COLUMNS + j] = j < columns ? (SUM)b[(k0 + k) * b_rows + j * b_columns] : 0;
        for (long row = first; row < end; row += 4) {
            EACH_ROW(ROW_OF_A)
            EACH_ROW(ZERO)
            for (int k = 0; k < depth; ++k) {
                const SUMS b0 = packed[2 * k], b1 = packed[2 * k + 1];
                EACH_ROW(ADD)
            }
            EACH_ROW(STORE)
        }
    }
}

#else

// One group of 16 × 16 items makes a block of 64 × 64, four by four an item, 16 apart.   NDRange (N/4, M/4, batch)
#define SIDE 16
#define BLOCK 64

__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1)))
void matmul_any(const __global T *a, long a_offset, long a_stack, long a_rows, long a_columns,
                const __global T *b, long b_offset, long b_stack, long b_rows, long b_columns,
                __global T *c, long c_offset, long M, long N, long K, long unused)
{
    __local SUM left[SIDE][BLOCK + 1], right[SIDE][BLOCK + 1];
    const int x = get_local_id(0), y = get_local_id(1);
    const long row = get_group_id(1) * BLOCK, column = get_group_id(0) * BLOCK;
    a += a_offset + get_group_id(2) * a_stack;
    b += b_offset + get_group_id(2) * b_stack;
    c += c_offset + get_group_id(2) * M * N;
    SUM tile[4][4];
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
            tile[i][j] = 0;
    for (long k0 = 0; k0 < K; k0 += SIDE) {
        for (int i = 0; i < 4; ++i) {
            const long m = row + y + SIDE * i, n = column + x + SIDE * i;
            left[x][y + SIDE * i] = m < M && k0 + x < K ? (SUM)a[m * a_rows + (k0 + x) * a_columns] : 0;
            right[y][x + SIDE * i] = n < N && k0 + y < K ? (SUM)b[(k0 + y) * b_rows + n * b_columns] : 0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < SIDE; ++k)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j)
                    tile[i][j] += left[k][y + SIDE * i] * right[k][x + SIDE * j];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
            if (row + y + SIDE * i < M && column + x + SIDE * j < N)
                c[(row + y + SIDE * i) * N + column + x + SIDE * j] = (T)tile[i][j];
}

#endif
