// Matrix product for GPUs: C[batch, M, N] = A[batch, M, K] · B[batch, K, N], any strides, fp32 arithmetic.
//
//   gemm      NDRange (tiles · ITEMS, batch · parts): part p of a product sums k from p · depth on, depth of them
//   gemm_sum  adds the parts in order, so the bits are the same always           NDRange (elements of C)
//
// Strides and offsets count elements; C is row-major, one matrix after another, part by part. -D: see gpu_tile.h; WIDE
// where rows of one tile lie 2³¹ elements apart.

#ifdef WIDE
typedef long left_point, right_point;   // elements from the first row (or column) of the tile
#else
typedef int left_point, right_point;
#endif

typedef struct {
    const __global float *a, *b;          // of the tile's first row and first column
    long m_stride, ak_stride, bk_stride, n_stride;
    int first_row, first_column, M, N;
} operands;

typedef struct {
    const __global float *from;
    long step;
    int left;                               // how many k are still there
} left_walk;
typedef left_walk right_walk;

#ifndef SLICES
#define SLICES 1
#endif
#define BK (8 * SLICES)

// Rows past the end repeat the last one: nobody stores their products.
inline left_point left_begin(const operands o, int row) { return (min(row, o.M - LEFT_WIDTH) - o.first_row) * o.m_stride; }
inline left_walk left_start(const operands o, int k, int k_end)
{
    const left_walk walk = {o.a + k * o.ak_stride, BK * o.ak_stride, k_end - k};
    return walk;
}
inline void left_next(const operands o, left_walk *walk) { walk->from += walk->step; walk->left -= BK; }
#define left_from(point, walk) ((walk).from + (point))
#define left_inside(point, walk) ((walk).left > 0)

inline right_point right_begin(const operands o, int column)
{
    return (min(column, o.N - RIGHT_WIDTH) - o.first_column) * o.n_stride;
}
inline right_walk right_start(const operands o, int k, int k_end)
{
    const right_walk walk = {o.b + k * o.bk_stride, BK * o.bk_stride, k_end - k};
    return walk;
}
#define right_next left_next
#define right_from left_from
#define right_inside left_inside

#include "gpu_tile.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void gemm(__global float *restrict c, long c_offset, const __global float *restrict a, long a_offset,
          const __global float *restrict b, long b_offset, long a_batch_stride, long m_stride, long ak_stride,
          long b_batch_stride, long bk_stride, long n_stride, int M, int N, int K, int batches, int depth)
{
    __local float local_memory[LOCAL] __attribute__((aligned(16)));
    const int batch = get_group_id(1) % batches, part = get_group_id(1) / batches, across = (N + BN - 1) / BN;
    const int first_row = get_group_id(0) / across * BM, first_column = get_group_id(0) % across * BN;
    const operands o = {a + a_offset + batch * a_batch_stride + first_row * m_stride,
                        b + b_offset + batch * b_batch_stride + first_column * n_stride,
                        m_stride, ak_stride, bk_stride, n_stride, first_row, first_column, M, N};
    group_tile(o, first_row, first_column, M, N, part * depth, min(K, (part + 1) * depth),
               c + c_offset + get_group_id(1) * (long)M * N, N, local_memory);
}

__kernel void gemm_sum(__global float *restrict c, long c_offset, const __global float *restrict parts, long parts_offset,
                       int count, long size)
{
    const long i = get_global_id(0);
    parts += parts_offset;
    float sum = parts[i];
    for (int part = 1; part < count; ++part)
        sum += parts[part * size + i];
    c[c_offset + i] = sum;
}
