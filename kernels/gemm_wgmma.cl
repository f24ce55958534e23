// Matrix product on the tensor cores of NVIDIA's Hopper: C[batch, M, N] = A[batch, M, K] · B[batch, K, N] in fp32, of
// inputs with tf32's 10 bits of mantissa, summed in fp32.
//
//   gemm    NDRange (tiles · ITEMS, batch), groups of ITEMS = WARPGROUPS · 128
//   pack    NDRange (32 · rows/128, 8 · K/32, batch), groups of 32 × 8: to[batch, rows, pitch] = from, rounded to tf32, k innermost
//
// Strides and offsets count elements. A string that begins with //@@ is an instruction that OpenCL's compiler does not know
// (its target is sm_90, not sm_90a): tensor/hopper.py takes the marker out of the PTX that the compiler makes.
// -D: WARPGROUPS, BN, STAGES (the tile is WARPGROUPS · 64 rows × BN columns), MULTIPLY(d, a, b) (one wgmma of 64 × BN × 8),
// LEFT_ALONG_K (see wgmma_side.h), TRANSPOSED if C is written by columns.
//
// wgmma takes the right side from local memory, k innermost; the left side from registers, to which it is read here in
// either layout, and rounded to nearest on the way (the right side's last 13 bits are ignored). Where A lies k innermost and
// B does not, the launcher has Cᵀ = Bᵀ · Aᵀ computed instead; `pack` is for two sides that do not, and for odd strides.
//
// In each step of 32 k a group starts one product, which goes on by itself; meanwhile it starts to move the tiles of
// STAGES - 2 steps later, and reads the next left tile into registers.

#define UNROLL _Pragma("unroll")
#define ITEMS (WARPGROUPS * 128)
#define BM (WARPGROUPS * 64)
#define LEFT_BYTES (LEFT_ALONG_K ? BM * 128 : (32 * (BM + 8) * 4 + 1023) / 1024 * 1024)
#define STAGE_BYTES (LEFT_BYTES + BN * 128)
// A tile of C in local memory; its pitch spreads what a warp writes over the banks.
#ifdef TRANSPOSED
#define C_COLUMNS BM
#define PITCH (BM + 4)
#else
#define C_COLUMNS BN
#define PITCH (BN + 8)
#endif
#define TILES_ACROSS 16   // tile rows that are worked on together, so that what they share stays in the second cache

// What wgmma, which ignores the last 13 bits, takes as the nearest of the values with 10 bits of mantissa, halves away
// from zero. The maximum keeps the NaN that GPUs make, whose bits are all ones but the sign, from running over.
inline uint tf32(float x) { return as_uint(max(as_int(as_uint(x) + 0x1000u), as_int(x))); }

#ifdef BN

inline void move16(uint to, const __global float *from, int inside)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

// What wgmma is told about a tile: its address / 16, 1024 bytes from 8 rows to the next 8, 128-byte swizzle.
inline ulong descriptor(uint address) { return ((address & 0x3ffff) >> 4) | 1ul << 16 | 64ul << 32 | 1ul << 62; }

#define SIDE(name) left_##name
#define ROWS BM
#define ALONG_K LEFT_ALONG_K
#include "wgmma_side.h"

#define SIDE(name) right_##name
#define ROWS BN
#define ALONG_K 1
#include "wgmma_side.h"

// The 16 elements of a left tile that this lane gives to four wgmmas: rows r and r + 8, k and k + 4.
inline void read_left(uint *a, const __local uchar *tile)
{
    const int item = get_local_id(0), row = item / 32 * 16 + item % 32 / 4, k = item % 4;
    UNROLL
    for (int i = 0; i < 8; ++i) {
#if LEFT_ALONG_K
        const __local uchar *from = tile + row * 128 + ((i ^ (row & 7)) << 4) + k * 4;
        const int below = 8 * 128;
#else
        const __local uchar *from = tile + ((i * 4 + k) * (BM + 8) + row) * 4;
        const int below = 8 * 4;
#endif
        a[i * 2] = tf32(*(const __local float *)from);
        a[i * 2 + 1] = tf32(*(const __local float *)(from + below));
    }
}

// Begin to move the next 32 k of both sides; wait until only so many moves are under way, and show the rest to wgmma.
#define FETCH(stage)                                                                                                   \
    do {                                                                                                               \
        left_fetch(&left, stage);                                                                                      \
        right_fetch(&right, (stage) + LEFT_BYTES);                                                                     \
        asm volatile("cp.async.commit_group;" ::: "memory");                                                           \
    } while (0)
#define ARRIVED(moves)                                                                                                 \
    do {                                                                                                               \
        asm volatile("cp.async.wait_group %0;" :: "n"(moves) : "memory");                                              \
        asm volatile("//@@ fence.proxy.async.shared::cta;" ::: "memory");                                              \
    } while (0)
#define NEXT(stage) ((stage) == base + (STAGES - 1) * STAGE_BYTES ? base : (stage) + STAGE_BYTES)
#define STEP(a, next)                                                                                                  \
    do {                                                                                                               \
        const ulong right_tile = descriptor(stage + LEFT_BYTES);                                                       \
        asm volatile("//@@ wgmma.fence.sync.aligned;" ::: "memory");                                                   \
        MULTIPLY(sum, a, 0, right_tile);                                                                               \
        MULTIPLY(sum, a, 4, right_tile + 2);                                                                           \
        MULTIPLY(sum, a, 8, right_tile + 4);                                                                           \
        MULTIPLY(sum, a, 12, right_tile + 6);                                                                          \
        asm volatile("//@@ wgmma.commit_group.sync.aligned;" ::: "memory");                                            \
        FETCH(free_stage);                                                                                             \
        free_stage = NEXT(free_stage);                                                                                 \
        ARRIVED(STAGES - 3);                                                                                           \
        asm volatile("//@@ wgmma.wait_group.sync.aligned 1;" ::: "memory");                                            \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
        stage = NEXT(stage);                                                                                           \
        read_left(next, bytes + (stage - base));                                                                       \
    } while (0)

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void gemm(__global float *restrict c, long c_offset, const __global float *restrict a, long a_offset,
          const __global float *restrict b, long b_offset, long a_batch_stride, long m_stride, long ak_stride,
          long b_batch_stride, long bk_stride, long n_stride, int M, int N, int K)
{
    __local uint memory[STAGES * STAGE_BYTES / 4 + 256] __attribute__((aligned(16)));
    const uint address = (uint)(ulong)memory, base = (address + 1023) & ~1023u;   // the swizzle counts in 1024 bytes
    const __local uchar *bytes = (const __local uchar *)memory + (base - address);
    const int item = get_local_id(0), group = get_group_id(0), lane = item & 31;
    const int tile_rows = (M + BM - 1) / BM, tile_columns = (N + BN - 1) / BN;
    const int band = group / (TILES_ACROSS * tile_columns) * TILES_ACROSS, in_band = group % (TILES_ACROSS * tile_columns);
    const int band_rows = min(tile_rows - band, TILES_ACROSS);
    const int first_row = (band + in_band % band_rows) * BM, first_column = in_band / band_rows * BN;
    const long batch = get_group_id(1);

    float sum[BN / 2];
    uint even[16], odd[16];
    UNROLL
    for (int i = 0; i < BN / 2; ++i)
        sum[i] = 0.0f;

    left_side left;
    right_side right;
    left_begin(&left, a + a_offset + batch * a_batch_stride + first_row * m_stride, m_stride, ak_stride, M - first_row, K);
    right_begin(&right, b + b_offset + batch * b_batch_stride + first_column * n_stride, n_stride, bk_stride,
                N - first_column, K);
    UNROLL
    for (int i = 0; i < STAGES - 2; ++i)
        FETCH(base + i * STAGE_BYTES);
    ARRIVED(STAGES - 3);
    barrier(CLK_LOCAL_MEM_FENCE);

    uint stage = base, free_stage = base + (STAGES - 2) * STAGE_BYTES;
    read_left(even, bytes);
    // Two steps, so that the registers of a product under way are not written; past the end of k all is zero.
    for (int k = 0; k < K; k += 64) {
        STEP(even, odd);
        STEP(odd, even);
    }
    asm volatile("//@@ wgmma.wait_group.sync.aligned 0;" ::: "memory");
    ARRIVED(0);
    barrier(CLK_LOCAL_MEM_FENCE);

    // Through local memory, so that rows of C are written whole. Each lane has pairs of neighbouring columns, eight rows and
    // eight columns apart.
    __local float *tile = (__local float *)memory;
    const int row = item / 32 * 16 + lane / 4, column = lane % 4 * 2;
    UNROLL
    for (int j = 0; j < BN / 4; ++j) {   // rows `row` and, for odd j, `row` + 8
        const int at = row + j % 2 * 8, pair = column + j / 2 * 8;
#ifdef TRANSPOSED
        tile[pair * PITCH + at] = sum[j * 2];
        tile[(pair + 1) * PITCH + at] = sum[j * 2 + 1];
#else
        *(__local float2 *)(tile + at * PITCH + pair) = (float2)(sum[j * 2], sum[j * 2 + 1]);
#endif
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#ifdef TRANSPOSED
    const int c_rows = N - first_column, c_columns = M - first_row, pitch = M;
    c += c_offset + (batch * N + first_column) * (long)pitch + first_row;
#else
    const int c_rows = M - first_row, c_columns = N - first_column, pitch = N;
    c += c_offset + (batch * M + first_row) * (long)pitch + first_column;
#endif
    const int vectors = pitch % 4 == 0 && c_offset % 4 == 0;
    for (int i = item; i < BM * BN / 4; i += ITEMS) {
        const int r = i / (C_COLUMNS / 4), k = i % (C_COLUMNS / 4) * 4;
        const __local float *from = tile + r * PITCH + k;
        __global float *to = c + r * (long)pitch + k;
        if (r < c_rows && k < c_columns) {
            if (vectors)
                *(__global float4 *)to = *(const __local float4 *)from;
            else
                for (int e = 0; e < min(4, c_columns - k); ++e)
                    to[e] = from[e];
        }
    }
}

#else

// A group moves 128 rows × 32 k; the work-items of a row of 32 read what are neighbours in memory.
#define ROWS 128

__kernel __attribute__((reqd_work_group_size(32, 8, 1)))
void pack(__global uint *restrict to, long to_offset, const __global float *restrict from, long offset, long batch_stride,
          long row_stride, long k_stride, int rows, int K, int pitch)
{
    __local float tile[ROWS][33];
    const int x = get_local_id(0), y = get_local_id(1), first_row = get_group_id(0) * ROWS, first_k = get_group_id(1) * 32;
    const int along_k = k_stride <= row_stride;
    from += offset + get_group_id(2) * batch_stride;
    to += to_offset + get_group_id(2) * (long)rows * pitch;
    float values[ROWS / 8];
    UNROLL
    for (int i = 0; i < ROWS / 8; ++i) {   // all reads are under way before the first one is waited for
        const int row = along_k ? i * 8 + y : i % 4 * 32 + x, k = along_k ? x : i / 4 * 8 + y;
        const int there = first_row + row < rows && first_k + k < K;
        values[i] = there ? from[(first_row + row) * row_stride + (first_k + k) * k_stride] : 0.0f;
    }
    UNROLL
    for (int i = 0; i < ROWS / 8; ++i)
        tile[along_k ? i * 8 + y : i % 4 * 32 + x][along_k ? x : i / 4 * 8 + y] = values[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL
    for (int i = 0; i < ROWS / 8; ++i)
        if (first_row + i * 8 + y < rows && first_k + x < pitch)
            to[(first_row + i * 8 + y) * (long)pitch + first_k + x] = tf32(tile[i * 8 + y][x]);
}

#endif
