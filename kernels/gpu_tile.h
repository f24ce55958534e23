// The tile that every matrix-like kernel for GPUs shares: a work-group computes BM × BN of left · right.
//
// The scheme is warp tiling with register prefetch (S. Boehm, "How to Optimize a CUDA Matmul Kernel", 2022, kernel 10,
// after NVIDIA's CUTLASS): the next BK columns travel from global memory to registers while the present ones are
// multiplied out of local memory, and one barrier a step suffices because local memory holds two of them. Nothing relies
// on 32 work-items running in step: the "warps" here only say who computes what.
//
// The includer first defines where elements come from:
//     operands                               a struct with all that the loaders need
//     left_point left_begin(o, row)          what a row needs, computed once; asked for rows past the end too
//     float left_at(o, point, k)             one element; 0 past the end of the rows; k is inside
//     right_point, right_begin, right_at     the same for a column of `right`
//     LEFT_ALONG_K, RIGHT_ALONG_K            1 if neighbours along k are neighbours in memory, else 0
// -D BM, BN: 128 × 128 (WARPS 2 × 2) or 64 × 64 (WARPS 2 × 1).

// CPUs run these kernels in tests only, and take seconds to compile the unrolled form.
#if CPU
#define UNROLL _Pragma("unroll 1")
#else
#define UNROLL _Pragma("unroll")
#endif

#define BK 8
#define ITEMS (WARPS_M * WARPS_N * 32)
#define WARP_ROWS (BM / WARPS_M)
#define WARP_COLUMNS (BN / WARPS_N)
// The 32 work-items of a warp stand 4 × 8, each with 4 × 4 elements, and repeat over the warp's tile.
#define ROW_BLOCKS (WARP_ROWS / 16)
#define COLUMN_BLOCKS (WARP_COLUMNS / 32)
#define LEFT_PITCH (BM + 4)
#define RIGHT_PITCH (BN + 4)
#define LEFT_SLOTS (BM * BK / ITEMS)
#define RIGHT_SLOTS (BN * BK / ITEMS)
#define LEFT_LOCAL (BK * LEFT_PITCH)
#define RIGHT_LOCAL (BK * RIGHT_PITCH)

#if LEFT_ALONG_K
#define LEFT_ROW(i) ((i) / BK)
#define LEFT_K(i) ((i) % BK)
#else
#define LEFT_ROW(i) ((i) % BM)
#define LEFT_K(i) ((i) / BM)
#endif
#if RIGHT_ALONG_K
#define RIGHT_COLUMN(i) ((i) / BK)
#define RIGHT_K(i) ((i) % BK)
#else
#define RIGHT_COLUMN(i) ((i) % BN)
#define RIGHT_K(i) ((i) / BN)
#endif

// C[row, column] for the group's rows and columns and k in [k_begin, k_end); c has `pitch` elements a row.
// `left` and `right` are local memory of 2 · LEFT_LOCAL and 2 · RIGHT_LOCAL floats.
inline void group_tile(const operands o, int first_row, int first_column, int M, int N, int k_begin, int k_end,
                       __global float *c, long pitch, __local float *left, __local float *right)
{
    const int item = get_local_id(0), warp = item / 32, lane = item % 32;
    const int row = warp / WARPS_N * WARP_ROWS + lane / 8 * 4;
    const int column = warp % WARPS_N * WARP_COLUMNS + lane % 8 * 4;
    left_point left_points[LEFT_SLOTS];
    right_point right_points[RIGHT_SLOTS];
    float left_next[LEFT_SLOTS], right_next[RIGHT_SLOTS];
    float4 sum[ROW_BLOCKS * 4][COLUMN_BLOCKS];

    UNROLL
    for (int s = 0; s < LEFT_SLOTS; ++s)
        left_points[s] = left_begin(o, first_row + LEFT_ROW(item + s * ITEMS));
    UNROLL
    for (int s = 0; s < RIGHT_SLOTS; ++s)
        right_points[s] = right_begin(o, first_column + RIGHT_COLUMN(item + s * ITEMS));
    UNROLL
    for (int i = 0; i < ROW_BLOCKS * 4; ++i)
        UNROLL
        for (int j = 0; j < COLUMN_BLOCKS; ++j)
            sum[i][j] = (float4)(0.0f);

    // One step before the first one only loads.
    int page = 0;
    for (int k = k_begin - BK; k < k_end; k += BK) {
        if (k + BK < k_end) {
            UNROLL
            for (int s = 0; s < LEFT_SLOTS; ++s) {
                const int at = k + BK + LEFT_K(item + s * ITEMS);
                left_next[s] = at < k_end ? left_at(o, left_points[s], at) : 0.0f;
            }
            UNROLL
            for (int s = 0; s < RIGHT_SLOTS; ++s) {
                const int at = k + BK + RIGHT_K(item + s * ITEMS);
                right_next[s] = at < k_end ? right_at(o, right_points[s], at) : 0.0f;
            }
        }
        if (k >= k_begin) {
            const __local float *from_left = left + page * LEFT_LOCAL + row;
            const __local float *from_right = right + page * RIGHT_LOCAL + column;
            UNROLL
            for (int step = 0; step < BK; ++step) {
                float4 x[ROW_BLOCKS], y[COLUMN_BLOCKS];
                UNROLL
                for (int i = 0; i < ROW_BLOCKS; ++i)
                    x[i] = *(const __local float4 *)(from_left + step * LEFT_PITCH + i * 16);
                UNROLL
                for (int j = 0; j < COLUMN_BLOCKS; ++j)
                    y[j] = *(const __local float4 *)(from_right + step * RIGHT_PITCH + j * 32);
                UNROLL
                for (int i = 0; i < ROW_BLOCKS; ++i)
                    UNROLL
                    for (int j = 0; j < COLUMN_BLOCKS; ++j) {
                        sum[4 * i][j] += x[i].x * y[j];
                        sum[4 * i + 1][j] += x[i].y * y[j];
                        sum[4 * i + 2][j] += x[i].z * y[j];
                        sum[4 * i + 3][j] += x[i].w * y[j];
                    }
            }
            page ^= 1;
        }
        if (k + BK < k_end) {
            UNROLL
            for (int s = 0; s < LEFT_SLOTS; ++s) {
                const int i = item + s * ITEMS;
                left[page * LEFT_LOCAL + LEFT_K(i) * LEFT_PITCH + LEFT_ROW(i)] = left_next[s];
            }
            UNROLL
            for (int s = 0; s < RIGHT_SLOTS; ++s) {
                const int i = item + s * ITEMS;
                right[page * RIGHT_LOCAL + RIGHT_K(i) * RIGHT_PITCH + RIGHT_COLUMN(i)] = right_next[s];
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    UNROLL
    for (int i = 0; i < ROW_BLOCKS * 4; ++i)
        UNROLL
        for (int j = 0; j < COLUMN_BLOCKS; ++j) {
            const int to_row = first_row + row + i / 4 * 16 + i % 4, to_column = first_column + column + j * 32;
            __global float *to = c + to_row * pitch + to_column;
            if (to_row < M && to_column < N)
                to[0] = sum[i][j].x;
            if (to_row < M && to_column + 1 < N)
                to[1] = sum[i][j].y;
            if (to_row < M && to_column + 2 < N)
                to[2] = sum[i][j].z;
            if (to_row < M && to_column + 3 < N)
                to[3] = sum[i][j].w;
        }
}
