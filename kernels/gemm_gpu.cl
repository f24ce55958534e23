// Matrix product for GPUs, fp32 arithmetic: C[batch, M, N] = A[batch, M, K] · B[batch, K, N], any strides.
//
//   gemm    NDRange (N/BN · ITEMS, M/BM, batch), groups of ITEMS = WARPS_M · WARPS_N · 32
//
// Strides and offsets count elements; C is row-major. -D: see gpu_tile.h.

typedef struct {
    const __global float *a, *b;
    long m_stride, ak_stride, bk_stride, n_stride;
    int M, N;
} operands;

typedef long left_point;   // the row's first element, or -1
typedef long right_point;  // the column's first element, or -1

inline left_point left_begin(const operands o, int row) { return row < o.M ? row * o.m_stride : -1; }
inline float left_at(const operands o, left_point p, int k) { return p >= 0 ? o.a[p + k * o.ak_stride] : 0.0f; }
inline right_point right_begin(const operands o, int column) { return column < o.N ? column * o.n_stride : -1; }
inline float right_at(const operands o, right_point p, int k) { return p >= 0 ? o.b[p + k * o.bk_stride] : 0.0f; }

#include "gpu_tile.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void gemm(const __global float *restrict a, long a_offset, long a_batch_stride, long m_stride, long ak_stride,
          const __global float *restrict b, long b_offset, long b_batch_stride, long bk_stride, long n_stride,
          __global float *restrict c, long c_offset, int M, int N, int K)
{
    __local float left[2 * LEFT_LOCAL] __attribute__((aligned(16)));
    __local float right[2 * RIGHT_LOCAL] __attribute__((aligned(16)));
    const long batch = get_group_id(2);
    const operands o = {a + a_offset + batch * a_batch_stride, b + b_offset + batch * b_batch_stride,
                        m_stride, ak_stride, bk_stride, n_stride, M, N};
    group_tile(o, get_group_id(1) * BM, get_group_id(0) * BN, M, N, 0, K, c + c_offset + batch * M * (long)N, N,
               left, right);
}
