// The tile that every matrix-like kernel for GPUs shares: a work-group computes BM × BN of left · right.
//
// The scheme is warp tiling (S. Boehm, "How to Optimize a CUDA Matmul Kernel", 2022, kernel 10, after NVIDIA's CUTLASS):
// STAGES tiles of BK columns of `left` and BK rows of `right` lie in local memory, one being multiplied while the others
// are on their way, and one barrier a step suffices. With ASYNC the elements go from global to local memory by
// themselves (cp.async of NVIDIA's sm_80 and later, which also writes zeros for what is outside); without it they pass
// through registers. Nothing relies on 32 work-items running in step: the "warps" here only say who computes what.
//
// A work-item moves elements of one k and several rows, so the includer defines, for `left` and likewise for `right`:
//     operands                                     a struct with all that the loaders need
//     left_point  left_begin(o, row)               what a row needs, computed once; asked for rows past the end too
//     left_walk   left_start(o, k, k_end)          what a k needs
//     left_next(o, &walk)                          moves on to k + BK
//     left_from(point, walk)                       the element's address
//     left_inside(point, walk)                     whether it is there, or else 0; k past the end is not there
//     LEFT_ALONG_K                                 1 if neighbours along k are neighbours in memory, else 0
//     LEFT_WIDTH                                   how many neighbouring rows are moved at once: 4 with ASYNC where they are
//                                                  aligned to 16 bytes and all there or none, else 1
// -D BM, BN, WARPS_M, WARPS_N (of at most 64 × 64 each), ASYNC; SLICES of a group's warps, each with its share of every
// BK = 8 · SLICES columns, for products with too few tiles to fill the device with warps: their sums meet at the end.

// CPUs run these kernels in tests only, and take seconds to compile the unrolled form.
#if CPU
#define UNROLL _Pragma("unroll 1")
#else
#define UNROLL _Pragma("unroll")
#endif

#ifndef SLICES
#define SLICES 1
#endif
#ifndef BK
#define BK (8 * SLICES)
#endif
#define STEPS (BK / SLICES)
#define SLICE_ITEMS (WARPS_M * WARPS_N * 32)
#define ITEMS (SLICE_ITEMS * SLICES)
#define WARP_ROWS (BM / WARPS_M)
#define WARP_COLUMNS (BN / WARPS_N)
// The 32 work-items of a warp stand 4 × 8, each with 4 × 4 elements, and repeat over the warp's tile.
#define ROW_BLOCKS (WARP_ROWS / 16)
#define COLUMN_BLOCKS (WARP_COLUMNS / 32)
// What the work-items of one k move together, and how often they do.
#define LEFT_AT_ONCE (ITEMS / BK * LEFT_WIDTH)
#define RIGHT_AT_ONCE (ITEMS / BK * RIGHT_WIDTH)
#define LEFT_SLOTS (BM / LEFT_AT_ONCE)
#define RIGHT_SLOTS (BN / RIGHT_AT_ONCE)
// Paddings by which a warp's writes meet different banks.
#define LEFT_PITCH (BM + (LEFT_ALONG_K ? 4 : 16))
#define RIGHT_PITCH (BN + (RIGHT_ALONG_K ? 4 : 16))
#define LEFT_LOCAL (BK * LEFT_PITCH)
#define RIGHT_LOCAL (BK * RIGHT_PITCH)

#if ASYNC
#ifndef STAGES
#define STAGES (SLICES > 1 ? 3 : 4)
#endif
#define MOVE(to, from, inside, slot, width)                                                                            \
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"                                                       \
                 :: "r"((uint)(ulong)(to)), "l"(from), "n"(4 * (width)),                                 \
                    "r"((inside) ? 4 * (width) : 0))
#define MOVED() asm volatile("cp.async.commit_group;" ::: "memory")
#define ARRIVED() asm volatile("cp.async.wait_group %0;" :: "n"(STAGES - 2) : "memory")
#define ALL_ARRIVED() asm volatile("cp.async.wait_group 0;" ::: "memory")
#else
#undef STAGES
#define STAGES 2
#define MOVE(to, from, inside, slot, width) slot = (inside) ? *(from) : 0
#define MOVED()
#define ARRIVED()
#define ALL_ARRIVED()
#endif
#define STAGES_LOCAL (STAGES * (LEFT_LOCAL + RIGHT_LOCAL))
#define SUMS_LOCAL (SLICES > 1 ? BM * BN : 0)
#define LOCAL (STAGES_LOCAL > SUMS_LOCAL ? STAGES_LOCAL : SUMS_LOCAL)

// C[row, column] for the group's rows and columns and k in [k_begin, k_end); c has `pitch` elements a row.
// `local_memory` has LOCAL elements.
inline void group_tile(const operands o, int first_row, int first_column, int M, int N, int k_begin, int k_end,
                       __global float *c, long pitch, __local float *local_memory)
{
    const int item = get_local_id(0), slice = item / SLICE_ITEMS, in_slice = item % SLICE_ITEMS;
    const int warp = in_slice / 32, lane = item % 32;
    // Two rows of lanes interleaved: neighbours then read the same 16 bytes, and a read of local memory takes half the time.
    const int row = warp / WARPS_N * WARP_ROWS + (lane / 16 * 2 + lane % 2) * 4;
    const int column = warp % WARPS_N * WARP_COLUMNS + lane % 16 / 2 * 4;
#if LEFT_ALONG_K
    const int left_k = item % BK, left_row = item / BK;
#else
    const int left_k = item / (ITEMS / BK), left_row = item % (ITEMS / BK) * LEFT_WIDTH;
#endif
#if RIGHT_ALONG_K
    const int right_k = item % BK, right_column = item / BK;
#else
    const int right_k = item / (ITEMS / BK), right_column = item % (ITEMS / BK) * RIGHT_WIDTH;
#endif
    __local float *const left = local_memory, *const right = local_memory + STAGES * LEFT_LOCAL;
    __local float *const to_left = left + left_k * LEFT_PITCH + left_row;
    __local float *const to_right = right + right_k * RIGHT_PITCH + right_column;
    left_point left_points[LEFT_SLOTS];
    right_point right_points[RIGHT_SLOTS];
    left_walk at_left = left_start(o, k_begin + left_k, k_end);
    right_walk at_right = right_start(o, k_begin + right_k, k_end);
    float4 sum[ROW_BLOCKS * 4][COLUMN_BLOCKS];
#if !ASYNC
    float left_slot[LEFT_SLOTS], right_slot[RIGHT_SLOTS];
#endif

    UNROLL
    for (int s = 0; s < LEFT_SLOTS; ++s)
        left_points[s] = left_begin(o, first_row + left_row + s * LEFT_AT_ONCE);
    UNROLL
    for (int s = 0; s < RIGHT_SLOTS; ++s)
        right_points[s] = right_begin(o, first_column + right_column + s * RIGHT_AT_ONCE);
    UNROLL
    for (int i = 0; i < ROW_BLOCKS * 4; ++i)
        UNROLL
        for (int j = 0; j < COLUMN_BLOCKS; ++j)
            sum[i][j] = (float4)(0.0f);

// Begin to move the part-th of so many parts of the next tile to `stage`.
#define FETCH(stage, part, parts)                                                                                      \
    do {                                                                                                               \
        UNROLL                                                                                                         \
        for (int s = (part) * LEFT_SLOTS / (parts); s < ((part) + 1) * LEFT_SLOTS / (parts); ++s)                      \
            MOVE(to_left + (stage) * LEFT_LOCAL + s * LEFT_AT_ONCE, left_from(left_points[s], at_left),                \
                 left_inside(left_points[s], at_left), left_slot[s], LEFT_WIDTH);                                      \
        UNROLL                                                                                                         \
        for (int s = (part) * RIGHT_SLOTS / (parts); s < ((part) + 1) * RIGHT_SLOTS / (parts); ++s)                    \
            MOVE(to_right + (stage) * RIGHT_LOCAL + s * RIGHT_AT_ONCE, right_from(right_points[s], at_right),          \
                 right_inside(right_points[s], at_right), right_slot[s], RIGHT_WIDTH);                                 \
    } while (0)
#define NEXT()                                                                                                         \
    do {                                                                                                               \
        left_next(o, &at_left);                                                                                        \
        right_next(o, &at_right);                                                                                      \
        MOVED();                                                                                                       \
    } while (0)

// A step's elements, from local memory.
#define READ(step)                                                                                                     \
    do {                                                                                                               \
        UNROLL                                                                                                         \
        for (int i = 0; i < ROW_BLOCKS; ++i)                                                                           \
            x[(step) % 2][i] = *(const __local float4 *)(from_left + (step) * LEFT_PITCH + i * 16);                  \
        UNROLL                                                                                                         \
        for (int j = 0; j < COLUMN_BLOCKS; ++j)                                                                        \
            y[(step) % 2][j] = *(const __local float4 *)(from_right + (step) * RIGHT_PITCH + j * 32);                \
    } while (0)

// Without ASYNC: what FETCH has brought to registers.
#if ASYNC
#define LAND(stage)
#else
#define LAND(stage)                                                                                                    \
    do {                                                                                                               \
        UNROLL                                                                                                         \
        for (int s = 0; s < LEFT_SLOTS; ++s)                                                                           \
            to_left[(stage) * LEFT_LOCAL + s * LEFT_AT_ONCE] = left_slot[s];                                           \
        UNROLL                                                                                                         \
        for (int s = 0; s < RIGHT_SLOTS; ++s)                                                                          \
            to_right[(stage) * RIGHT_LOCAL + s * RIGHT_AT_ONCE] = right_slot[s];                                        \
    } while (0)
#endif

    UNROLL
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        FETCH(stage, 0, 1);
        NEXT();
        LAND(stage);
    }
    int stage = 0, free_stage = STAGES - 1;
    for (int k = k_begin; k < k_end; k += BK) {
        ARRIVED();
        barrier(CLK_LOCAL_MEM_FENCE);
        const __local float *from_left = left + stage * LEFT_LOCAL + slice * STEPS * LEFT_PITCH + row;
        const __local float *from_right = right + stage * RIGHT_LOCAL + slice * STEPS * RIGHT_PITCH + column;
        float4 x[2][ROW_BLOCKS], y[2][COLUMN_BLOCKS];   // of the present step and of the next one
        READ(0);
        UNROLL
        for (int step = 0; step < STEPS; ++step) {
            if (step + 1 < STEPS)
                READ(step + 1);
            if (step < STEPS / 2)
                FETCH(free_stage, step, STEPS / 2);   // a few at a time: reads of local memory wait behind them
            UNROLL
            for (int i = 0; i < ROW_BLOCKS; ++i)
                UNROLL
                for (int j = 0; j < COLUMN_BLOCKS; ++j) {
                    sum[4 * i][j] += x[step % 2][i].x * y[step % 2][j];
                    sum[4 * i + 1][j] += x[step % 2][i].y * y[step % 2][j];
                    sum[4 * i + 2][j] += x[step % 2][i].z * y[step % 2][j];
                    sum[4 * i + 3][j] += x[step % 2][i].w * y[step % 2][j];
                }
        }
        NEXT();
        LAND(free_stage);
        free_stage = stage;
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }

#if SLICES > 1
    __local float4 *sums = (__local float4 *)local_memory;   // a slice's, the same element of all items side by side
    ALL_ARRIVED();
    UNROLL
    for (int other = 1; other < SLICES; ++other) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (slice == other)
            UNROLL
            for (int i = 0; i < ROW_BLOCKS * 4 * COLUMN_BLOCKS; ++i)
                sums[i * SLICE_ITEMS + in_slice] = sum[i / COLUMN_BLOCKS][i % COLUMN_BLOCKS];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (slice == 0)
            UNROLL
            for (int i = 0; i < ROW_BLOCKS * 4 * COLUMN_BLOCKS; ++i)
                sum[i / COLUMN_BLOCKS][i % COLUMN_BLOCKS] += sums[i * SLICE_ITEMS + in_slice];
    }
    if (slice > 0)
        return;
#endif

    const int vectors = N % 4 == 0 && pitch % 4 == 0 && (ulong)c % sizeof(float4) == 0;
    UNROLL
    for (int i = 0; i < ROW_BLOCKS * 4; ++i)
        UNROLL
        for (int j = 0; j < COLUMN_BLOCKS; ++j) {
            const int to_row = first_row + row + i / 4 * 16 + i % 4, to_column = first_column + column + j * 32;
            __global float *to = c + to_row * pitch + to_column;
            if (to_row >= M || to_column >= N)
                continue;
            if (vectors) {
                *(__global float4 *)to = sum[i][j];
                continue;
            }
            to[0] = sum[i][j].x;
            if (to_column + 1 < N)
                to[1] = sum[i][j].y;
            if (to_column + 2 < N)
                to[2] = sum[i][j].z;
            if (to_column + 3 < N)
                to[3] = sum[i][j].w;
        }
}
