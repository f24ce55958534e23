// One side of a product on its way from global to local memory, by cp.async; included once for each side.
//
//   SIDE(name)     gives the functions' names: left_name, right_name
//   ROWS           rows of a tile (columns of the product, for the right side)
//   ALONG_K        1 if neighbours along k are neighbours in memory, 0 if neighbouring rows are
//
// Four neighbours are moved at once, so they are aligned to 16 bytes and sizes along them are multiples of four.
// A tile is ROWS × 32 floats. With ALONG_K its rows have 128 bytes, whose eight chunks of 16 are permuted by the row's
// number ("128-byte swizzle"): what wgmma reads, and what spreads eight rows over all banks. Otherwise it is 32 rows of
// ROWS floats and 8 unused ones, for the banks. Rows past the end repeat the last one; k past the end is 0.

#define SLOTS (ROWS * 8 / ITEMS)
#if ALONG_K
#define POINTS SLOTS
#else
#define POINTS 1
#define K_AT_ONCE (ITEMS * 4 / ROWS)
#endif

typedef struct {
    const __global float *from;
    long step;             // elements to the next 32 k
    int left, k_stride;    // how many k are still there
    int point[POINTS];     // offsets of what this work-item moves
    uint to;               // where to, in bytes from the tile
} SIDE(side);

inline void SIDE(begin)(SIDE(side) *s, const __global float *from, int row_stride, int k_stride, int rows, int K)
{
    const int item = get_local_id(0);
#if ALONG_K
    const int row = item / 8, chunk = item % 8;
    UNROLL
    for (int i = 0; i < POINTS; ++i)
        s->point[i] = min(row + i * (ITEMS / 8), rows - 1) * row_stride + chunk * 4;
    s->to = row * 128 + ((chunk ^ (row & 7)) << 4);
    s->left = K - chunk * 4;
#else
    const int k = item / (ROWS / 4), row = item % (ROWS / 4) * 4;
    s->point[0] = min(row, rows - 4) + k * k_stride;
    s->to = (k * (ROWS + 8) + row) * 4;
    s->left = K - k;
#endif
    s->from = from;
    s->step = 32l * k_stride;
    s->k_stride = k_stride;
}

// Begin to move the next 32 k to the tile at byte address `tile` of local memory.
inline void SIDE(fetch)(SIDE(side) *s, uint tile)
{
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
#if ALONG_K
        move16(tile + s->to + i * (ITEMS / 8 * 128), s->from + s->point[i], s->left > 0);
#else
        move16(tile + s->to + i * (K_AT_ONCE * (ROWS + 8) * 4), s->from + s->point[0] + i * (K_AT_ONCE * s->k_stride),
               s->left > i * K_AT_ONCE);
#endif
    }
    s->from += s->step;
    s->left -= 32;
}

#undef SLOTS
#undef POINTS
#undef K_AT_ONCE
#undef SIDE
#undef ROWS
#undef ALONG_K
