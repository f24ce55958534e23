// Matrix product for CPUs: C[batch, M, N] = A[batch, M, K] · B[batch, K, N], any strides.
//
// The scheme is Goto's (K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008):
// both operands are first repacked, so that the inner loop reads memory strictly forwards, and one micro-kernel
// keeps a tile of C in registers. Work-groups of one work-item: a CPU "core" is the group, its vectors are ours.
//
//   gemm_pack_a   A -> [batch][panels of TILE_ROWS rows][K][TILE_ROWS]             NDRange (panels, batch)
//   gemm_pack_b   B -> [batch][panels of TILE_COLUMNS columns][K][TILE_COLUMNS]    NDRange (panels, batch)
//   gemm_small    packs and multiplies in one launch                              NDRange (panels of N, M/mc, batch)
//   gemm_blocks   one group computes an mc × nc block of C                         NDRange (N/nc, M/mc, batch)
//
// Panels are padded with zeros, so the inner loop knows no edges; only the stores do. (A panel of zeros comes out of
// gemm_pack_b for one group more than there are panels.) Strides and offsets count elements. mc is a multiple of
// TILE_ROWS, nc of TILE_COLUMNS. -D LANES: see cpu_tile.h.

#include "cpu_tile.h"

// Rows whose elements along k are neighbours: read along k, write across. Eight lanes are always written; those
// past `rows` repeat the last row, so the caller lets the next column, or zeros, overwrite them.
inline void pack_turned(const __global float *source, long row_stride, int rows, int depth, __global float *panel,
                        int width)
{
    const __global float *p0 = source, *p1 = source + min(1, rows - 1) * row_stride;
    const __global float *p2 = source + min(2, rows - 1) * row_stride, *p3 = source + min(3, rows - 1) * row_stride;
    const __global float *p4 = source + min(4, rows - 1) * row_stride, *p5 = source + min(5, rows - 1) * row_stride;
    const __global float *p6 = source + min(6, rows - 1) * row_stride, *p7 = source + min(7, rows - 1) * row_stride;
    int k = 0;
    for (; k + 8 <= depth; k += 8) {
        const float8 r0 = LOAD8(p0 + k), r1 = LOAD8(p1 + k), r2 = LOAD8(p2 + k), r3 = LOAD8(p3 + k);
        const float8 r4 = LOAD8(p4 + k), r5 = LOAD8(p5 + k), r6 = LOAD8(p6 + k), r7 = LOAD8(p7 + k);
        __global float *to = panel + (long)k * width;
        STORE8(to, COLUMN8(s0));
        STORE8(to + width, COLUMN8(s1));
        STORE8(to + 2 * width, COLUMN8(s2));
        STORE8(to + 3 * width, COLUMN8(s3));
        STORE8(to + 4 * width, COLUMN8(s4));
        STORE8(to + 5 * width, COLUMN8(s5));
        STORE8(to + 6 * width, COLUMN8(s6));
        STORE8(to + 7 * width, COLUMN8(s7));
    }
    for (; k < depth; ++k)
        STORE8(panel + (long)k * width, (float8)(p0[k], p1[k], p2[k], p3[k], p4[k], p5[k], p6[k], p7[k]));
}

inline void pack_any(const __global float *source, long row_stride, long k_stride, int rows, int depth,
                     __global float *panel, int width)
{
    for (int k = 0; k < depth; ++k)
        for (int r = 0; r < width; ++r)
            panel[(long)k * width + r] = r < rows ? source[r * row_stride + k * k_stride] : 0.0f;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gemm_pack_a(const __global float *a, long a_offset, long batch_stride, long m_stride, long k_stride, int M,
                 int K, __global float *packed)
{
    const int panel = get_group_id(0), rows = min(TILE_ROWS, M - panel * TILE_ROWS);
    const __global float *source = a + a_offset + get_group_id(1) * batch_stride + (long)panel * TILE_ROWS * m_stride;
    __global float *to = packed + ((long)get_group_id(1) * get_num_groups(0) + panel) * TILE_ROWS * K;
    if (rows == TILE_ROWS && k_stride == 1 && K > 8) {
        // The lanes past TILE_ROWS run into the next columns, which then overwrite them; the last ones are set by hand.
        for (int r = (TILE_ROWS - 1) / 8 * 8; r >= 0; r -= 8)
            pack_turned(source + r * m_stride, m_stride, min(8, rows - r), K - 2, to + r, TILE_ROWS);
        pack_any(source + (K - 2), m_stride, 1, rows, 2, to + (long)(K - 2) * TILE_ROWS, TILE_ROWS);
    } else {
        pack_any(source, m_stride, k_stride, rows, K, to, TILE_ROWS);
    }
}

// One panel of B: `columns` of its TILE_COLUMNS exist.
inline void pack_columns(const __global float *source, long k_stride, long n_stride, int columns, int depth,
                         __global float *to)
{
    if (columns == TILE_COLUMNS && n_stride == 1) {
        for (int k = 0; k < depth; ++k, source += k_stride, to += TILE_COLUMNS)
            for (int j = 0; j < TILE_COLUMNS; j += 8)
                STORE8(to + j, LOAD8(source + j));
    } else if (k_stride == 1) {
        int j = 0;
        for (; j < columns; j += 8)
            pack_turned(source + j * n_stride, n_stride, min(8, columns - j), depth, to + j, TILE_COLUMNS);
        for (int k = 0; k < depth; ++k)
            for (j = columns; j < TILE_COLUMNS; ++j)
                to[(long)k * TILE_COLUMNS + j] = 0.0f;
    } else {
        pack_any(source, n_stride, k_stride, columns, depth, to, TILE_COLUMNS);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gemm_pack_b(const __global float *b, long b_offset, long batch_stride, long k_stride, long n_stride, int N,
                 int K, __global float *packed)
{
    const int n = get_group_id(0) * TILE_COLUMNS;
    pack_columns(b + b_offset + get_group_id(1) * batch_stride + n * n_stride, k_stride, n_stride,
                 clamp(N - n, 0, TILE_COLUMNS), K,
                 packed + ((long)get_group_id(1) * get_num_groups(0) + get_group_id(0)) * TILE_COLUMNS * K);
}

// ---------------------------------------------------------------- product

#define LEFT(i) left_panel[i]
WIDE_VECTORS inline void multiply_panels(const __global float *restrict left_panel,
                                         const __global float *restrict right, int depth, __global float *to,
                                         long row_stride, int rows, int columns, int onto)
{
    TILE_ZERO
    for (int k = 0; k < depth; ++k, left_panel += TILE_ROWS, right += TILE_COLUMNS)
        TILE_ADD
    TILE_STORE
}
#undef LEFT

WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gemm_blocks(const __global float *restrict packed_a, const __global float *restrict packed_b, __global float *c,
                 long c_offset, int M, int N, int K, int mc, int nc, int kc)
{
    const long batch = get_group_id(2);
    const int m_begin = get_group_id(1) * mc, m_end = min(M, m_begin + mc);
    const int n_begin = get_group_id(0) * nc, n_end = min(N, n_begin + nc);
    packed_a += batch * ((M + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS) * (long)K;
    packed_b += batch * ((N + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS) * (long)K;
    c += c_offset + batch * M * (long)N;
    for (int k = 0; k < K; k += kc)
        for (int n = n_begin; n < n_end; n += TILE_COLUMNS)
            for (int m = m_begin; m < m_end; m += TILE_ROWS)
                multiply_panels(packed_a + (long)m * K + (long)k * TILE_ROWS,
                                packed_b + (long)n * K + (long)k * TILE_COLUMNS, min(kc, K - k),
                                c + (long)m * N + n, N, m_end - m, min(TILE_COLUMNS, n_end - n), k > 0);
}

// A small product in one launch. One group computes mc × TILE_COLUMNS of C: it packs its own panel of B, PANEL_DEPTH
// steps at a time, and reads A where it lies. (A CPU has one address space, so a pointer to the panel is a global one.)
#define PANEL_DEPTH 256
#define LEFT(i) row##i[at]
#define ROW_POINTER(i) const __global float *row##i = left_rows + min(i, rows - 1) * m_stride;
WIDE_VECTORS inline void multiply_rows(const __global float *restrict left_rows, long m_stride, long k_stride,
                                       const __global float *restrict right, int depth, __global float *to,
                                       long row_stride, int rows, int columns, int onto)
{
    EACH_ROW(ROW_POINTER)
    TILE_ZERO
    long at = 0;
    for (int k = 0; k < depth; ++k, at += k_stride, right += TILE_COLUMNS)
        TILE_ADD
    TILE_STORE
}

WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gemm_small(__global float *restrict c, long c_offset, const __global float *restrict a, long a_offset,
                const __global float *restrict b, long b_offset, long a_batch_stride, long m_stride, long ak_stride,
                long b_batch_stride, long bk_stride, long n_stride, int M, int N, int K, int mc)
{
    const int n = get_group_id(0) * TILE_COLUMNS, columns = min(TILE_COLUMNS, N - n);
    const int m_begin = get_group_id(1) * mc, m_end = min(M, m_begin + mc);
    const long batch = get_group_id(2);
    float own_panel[PANEL_DEPTH * TILE_COLUMNS] __attribute__((aligned(64)));
    __global float *panel = (__global float *)(ulong)own_panel;
    a += a_offset + batch * a_batch_stride;
    b += b_offset + batch * b_batch_stride + n * n_stride;
    c += c_offset + batch * M * (long)N + n;
    for (int k = 0; k < K; k += PANEL_DEPTH) {
        const int depth = min(PANEL_DEPTH, K - k);
        pack_columns(b + k * bk_stride, bk_stride, n_stride, columns, depth, panel);
        for (int m = m_begin; m < m_end; m += TILE_ROWS)
            multiply_rows(a + m * m_stride + k * ak_stride, m_stride, ak_stride, panel, depth, c + (long)m * N, N,
                          m_end - m, columns, k > 0);
    }
}
