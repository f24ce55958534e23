// Convolution by 3×3 kernels with stride 1 for CPUs, NHWC images and OHWI weights, with 4 products where the direct form
// has 9: Winograd's minimal filtering F(2×2, 3×3) (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2015).
//
// Two by two pixels of the result are a tile; they see a patch d of 4×4 pixels of the source. With the kernel g
//
//     tile = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A        ⊙ element by element, summed over channels
//
//          1  0 −1  0            1    0    0           1  0
//     Bᵀ = 0  1  1  0        G = 1/2  1/2  1/2     A = 1  1
//          0 −1  1  0            1/2 −1/2  1/2         1 −1
//          0  1  0 −1            0    0    1           0 −1
//
// The 16 elements ("places") of ⊙ are 16 matrix products, [tiles, channels] · [channels, outputs]. The gradient of the
// image is a convolution too: of dy, by kernels turned half round, with channels for outputs. That of the weights is
// Gᵀ [ Σ over tiles of (A dy Aᵀ) ⊙ (Bᵀ d B) ] G. Rounding errors are those of the direct form (docs/log.md).
//
//   winograd_weights        packed[panel][place][channel][TILE_COLUMNS] = G g Gᵀ;      NDRange (O/TILE_COLUMNS + 1, C/64)
//                           the last panel is of zeros; with -D BACKWARD turned, and channels for outputs
//   winograd_gather         forward, and with other weights the gradient of the image    NDRange (parts of tiles, O/block)
//   winograd_weight_parts   sums of ⊙ over a part of the tiles                           NDRange (O/block, C/block, parts)
//   winograd_weight_sum     adds the parts in order, Gᵀ … G: no atomics                  NDRange (O/8, C/64)
//
// Channels and outputs are multiples of 8. What a group transforms stays in the second cache until it is multiplied.

#include "cpu_tile.h"

#define PLACES 16
#define MOST_TILES 96   // of one block
#define BY_FOUR(DO) DO(0) DO(1) DO(2) DO(3)

// The tiles of all images, one image after the other, row by row, and the first pixels that they produce.
typedef struct {
    int image, row, column;
} tile_position;

inline tile_position position_of(int tile, int out_height, int out_width)
{
    const int across = (out_width + 1) / 2, down = (out_height + 1) / 2;
    const tile_position at = {tile / across / down, tile / across % down * 2, tile % across * 2};
    return at;
}

// to[place · place_stride + c] = Bᵀ d B for the channels c, where d is the patch whose first pixel is (row, column).
#define PATCH_ROW(i)                                                                                                   \
    const float8 d##i##0 = LOAD8(patch[4 * i] + c), d##i##1 = LOAD8(patch[4 * i + 1] + c);                             \
    const float8 d##i##2 = LOAD8(patch[4 * i + 2] + c), d##i##3 = LOAD8(patch[4 * i + 3] + c);                         \
    const float8 s##i##0 = d##i##0 - d##i##2, s##i##1 = d##i##1 + d##i##2;                                             \
    const float8 s##i##2 = d##i##2 - d##i##1, s##i##3 = d##i##1 - d##i##3;
#define PATCH_COLUMN(j)                                                                                                \
    STORE8(to + c + j * place_stride, s0##j - s2##j);                                                                  \
    STORE8(to + c + (4 + j) * place_stride, s1##j + s2##j);                                                            \
    STORE8(to + c + (8 + j) * place_stride, s2##j - s1##j);                                                            \
    STORE8(to + c + (12 + j) * place_stride, s1##j - s3##j);
inline void transform_patch(const __global float *image, int row, int column, int height, int width, int all_channels,
                            int channels, const __global float *zeros, __global float *to, long place_stride)
{
    const __global float *patch[PLACES];
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            const int y = row + i, x = column + j, inside = y >= 0 && y < height && x >= 0 && x < width;
            patch[4 * i + j] = inside ? image + ((long)y * width + x) * all_channels : zeros;
        }
    for (int c = 0; c < channels; c += 8) {
        BY_FOUR(PATCH_ROW)
        BY_FOUR(PATCH_COLUMN)
    }
}

// ---------------------------------------------------------------- weights

#ifdef BACKWARD
#define TAP(a, b) (8 - 3 * (a) - (b))
#else
#define TAP(a, b) (3 * (a) + (b))
#endif
#define KERNEL_COLUMN(b)                                                                                               \
    const float8 g0##b = LOAD8(from + TAP(0, b) * channels), g1##b = LOAD8(from + TAP(1, b) * channels);               \
    const float8 g2##b = LOAD8(from + TAP(2, b) * channels);                                                           \
    const float8 outer##b = 0.5f * (g0##b + g2##b), inner##b = 0.5f * g1##b;                                           \
    const float8 h0##b = g0##b, h1##b = outer##b + inner##b, h2##b = outer##b - inner##b, h3##b = g2##b;
#define KERNEL_ROW(a)                                                                                                  \
    const float8 outer_##a = 0.5f * (h##a##0 + h##a##2), inner_##a = 0.5f * h##a##1;                                   \
    turned[4 * a][i] = h##a##0;                                                                                        \
    turned[4 * a + 1][i] = outer_##a + inner_##a;                                                                      \
    turned[4 * a + 2][i] = outer_##a - inner_##a;                                                                      \
    turned[4 * a + 3][i] = h##a##2;
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void winograd_weights(const __global float *restrict w, long w_offset, __global float *restrict packed, int outputs,
                      int channels)
{
#ifdef BACKWARD
    const int depth = outputs, columns = channels;
#else
    const int depth = channels, columns = outputs;
#endif
    const int k_begin = get_group_id(1) * 64, k_end = min(depth, k_begin + 64);
    for (int k = k_begin; k < k_end; k += 8)
        for (int v = 0; v < TILE_COLUMNS; v += 8) {
            const int n = get_group_id(0) * TILE_COLUMNS + v;
            __global float *to = packed + ((long)get_group_id(0) * PLACES * depth + k) * TILE_COLUMNS + v;
            float8 turned[PLACES][8];   // eight outputs of eight channels
            for (int i = 0; i < 8 && n < columns; ++i) {
#ifdef BACKWARD
                const __global float *from = w + w_offset + (long)(k + i) * 9 * channels + n;
#else
                const __global float *from = w + w_offset + (long)(n + i) * 9 * channels + k;
#endif
                KERNEL_COLUMN(0) KERNEL_COLUMN(1) KERNEL_COLUMN(2)
                BY_FOUR(KERNEL_ROW)
            }
            for (int place = 0; place < PLACES; ++place, to += (long)depth * TILE_COLUMNS) {
                const float8 *r = turned[place];
#ifdef BACKWARD
                for (int i = 0; i < 8; ++i)
                    STORE8(to + i * TILE_COLUMNS, n < columns ? r[i] : (float8)(0.0f));
#else
                const float8 r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3], r4 = r[4], r5 = r[5], r6 = r[6], r7 = r[7];
                if (n < columns) {
                    STORE8(to, COLUMN8(s0));
                    STORE8(to + TILE_COLUMNS, COLUMN8(s1));
                    STORE8(to + 2 * TILE_COLUMNS, COLUMN8(s2));
                    STORE8(to + 3 * TILE_COLUMNS, COLUMN8(s3));
                    STORE8(to + 4 * TILE_COLUMNS, COLUMN8(s4));
                    STORE8(to + 5 * TILE_COLUMNS, COLUMN8(s5));
                    STORE8(to + 6 * TILE_COLUMNS, COLUMN8(s6));
                    STORE8(to + 7 * TILE_COLUMNS, COLUMN8(s7));
                } else
                    for (int i = 0; i < 8; ++i)
                        STORE8(to + i * TILE_COLUMNS, (float8)(0.0f));
#endif
            }
        }
}

// ---------------------------------------------------------------- images

#define LEFT(i) left##i[k]
#define LEFT_ROW(i) const __global float *left##i = from + i * channels;
WIDE_VECTORS inline void multiply_place(const __global float *restrict from, const __global float *restrict right,
                                        int channels, __global float *to)
{
    const int onto = 0, rows = TILE_ROWS, columns = TILE_COLUMNS;
    const long row_stride = TILE_COLUMNS;
    EACH_ROW(LEFT_ROW)
    TILE_ZERO
    for (int k = 0; k < channels; ++k, right += TILE_COLUMNS)
        TILE_ADD
    TILE_STORE
}
#undef LEFT

// The four pixels, as far as they exist, of eight outputs: Aᵀ m A.
#define PRODUCT(i, j) LOAD8(from + (4 * i + j) * place_stride)
#define PRODUCT_COLUMN(j)                                                                                              \
    const float8 middle##j = PRODUCT(1, j), lower##j = PRODUCT(2, j);                                                  \
    const float8 s0##j = PRODUCT(0, j) + middle##j + lower##j, s1##j = middle##j - lower##j - PRODUCT(3, j);
inline void transform_products(const __global float *from, long place_stride, __global float *to, long line,
                               int outputs, int has_row, int has_column)
{
    BY_FOUR(PRODUCT_COLUMN)
    STORE8(to, s00 + s01 + s02);
    if (has_column)
        STORE8(to + outputs, s01 - s02 - s03);
    if (has_row)
        STORE8(to + line, s10 + s11 + s12);
    if (has_row && has_column)
        STORE8(to + line + outputs, s11 - s12 - s13);
}

// A group goes through its part of the tiles a block at a time. tiles_per_block is a multiple of TILE_ROWS; rows past the
// last tile repeat it. `scratch`: PLACES · tiles_per_block · (channels + TILE_COLUMNS) floats a group.
WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void winograd_gather(const __global float *restrict x, long x_offset, const __global float *restrict packed,
                     long zeros_offset, __global float *restrict y, long y_offset, __global float *scratch, int tiles,
                     int tiles_per_group, int tiles_per_block, int outputs_per_group, int height, int width,
                     int channels, int out_height, int out_width, int outputs, int pad_h, int pad_w)
{
    const long group = (long)get_group_id(1) * get_num_groups(0) + get_group_id(0), line = (long)out_width * outputs;
    const int begin = get_group_id(0) * tiles_per_group, end = min(tiles, begin + tiles_per_group);
    const int o_begin = get_group_id(1) * outputs_per_group, o_end = min(outputs, o_begin + outputs_per_group);
    const int place_rows = tiles_per_block * channels, place_products = tiles_per_block * TILE_COLUMNS;
    __global float *patches = scratch + group * PLACES * (place_rows + place_products);
    __global float *products = patches + PLACES * place_rows;
    x += x_offset;
    y += y_offset;
    for (int first = begin; first < end; first += tiles_per_block) {
        const int count = min(tiles_per_block, end - first);
        const int rows = (count + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
        tile_position at[MOST_TILES];
        for (int t = 0; t < rows; ++t) {
            at[t] = position_of(first + min(t, count - 1), out_height, out_width);
            transform_patch(x + (long)at[t].image * height * width * channels, at[t].row - pad_h, at[t].column - pad_w,
                            height, width, channels, channels, packed + zeros_offset, patches + t * channels,
                            place_rows);
        }
        for (int o = o_begin; o < o_end; o += TILE_COLUMNS) {
            const __global float *right = packed + (long)o * PLACES * channels;
            for (int place = 0; place < PLACES; ++place, right += channels * TILE_COLUMNS)
                for (int t = 0; t < rows; t += TILE_ROWS)
                    multiply_place(patches + place * place_rows + t * channels, right, channels,
                                   products + place * place_products + t * TILE_COLUMNS);
            for (int t = 0; t < count; ++t) {
                const long pixel = ((long)at[t].image * out_height + at[t].row) * out_width + at[t].column;
                for (int v = 0; v < min(TILE_COLUMNS, o_end - o); v += 8)
                    transform_products(products + t * TILE_COLUMNS + v, place_products, y + pixel * outputs + o + v,
                                       line, outputs, at[t].row + 1 < out_height, at[t].column + 1 < out_width);
            }
        }
    }
}

// ---------------------------------------------------------------- gradient of the weights

// to[place · place_stride] = A dy Aᵀ of eight outputs, with zeros for pixels that do not exist.
#define GRADIENT_ROW(i, p, q)                                                                                          \
    STORE8(to + (4 * i) * place_stride, p);                                                                            \
    STORE8(to + (4 * i + 1) * place_stride, p + q);                                                                    \
    STORE8(to + (4 * i + 2) * place_stride, p - q);                                                                    \
    STORE8(to + (4 * i + 3) * place_stride, -q);
inline void transform_gradient(const __global float *from, long line, int outputs, int has_row, int has_column,
                               __global float *to, long place_stride)
{
    const float8 zero = 0.0f;
    const float8 y00 = LOAD8(from), y01 = has_column ? LOAD8(from + outputs) : zero;
    const float8 y10 = has_row ? LOAD8(from + line) : zero;
    const float8 y11 = has_row && has_column ? LOAD8(from + line + outputs) : zero;
    GRADIENT_ROW(0, y00, y01)
    GRADIENT_ROW(1, (y00 + y10), (y01 + y11))
    GRADIENT_ROW(2, (y00 - y10), (y01 - y11))
    GRADIENT_ROW(3, (-y10), (-y11))
}

// sums[part][place][channel][outputs, padded to panels]. A group has a block of channels, of outputs, and a part of the
// tiles, which it goes through a block at a time. `scratch`: PLACES · tiles_per_block · (channels_per_group +
// outputs_per_group) + TILE_ROWS floats a group: the last row of a register tile may read past its channels.
#define LEFT(i) elements[i]
WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void winograd_weight_parts(const __global float *restrict x, long x_offset, const __global float *restrict dy,
                           long dy_offset, const __global float *restrict zeros, __global float *restrict sums,
                           __global float *scratch, int tiles, int tiles_per_part, int tiles_per_block,
                           int channels_per_group, int outputs_per_group, int height, int width, int channels,
                           int out_height, int out_width, int outputs, int pad_h, int pad_w)
{
    const int part = get_group_id(2), begin = part * tiles_per_part, end = min(tiles, begin + tiles_per_part);
    const int o_begin = get_group_id(0) * outputs_per_group, o_count = min(outputs - o_begin, outputs_per_group);
    const int c_begin = get_group_id(1) * channels_per_group, c_count = min(channels - c_begin, channels_per_group);
    const long group = ((long)part * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) + get_group_id(0);
    const long row_stride = (outputs + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS, line = (long)out_width * outputs;
    const int place_rows = tiles_per_block * channels_per_group, place_columns = tiles_per_block * outputs_per_group;
    const int columns = TILE_COLUMNS;
    __global float *gradients = scratch + group * (PLACES * (place_rows + place_columns) + TILE_ROWS);
    __global float *patches = gradients + PLACES * place_columns;
    x += x_offset + c_begin;
    dy += dy_offset + o_begin;
    sums += (part * PLACES * channels + c_begin) * row_stride + o_begin;
    for (int first = begin; first < end; first += tiles_per_block) {
        const int count = min(tiles_per_block, end - first), onto = first > begin;
        for (int t = 0; t < count; ++t) {
            const tile_position at = position_of(first + t, out_height, out_width);
            transform_patch(x + (long)at.image * height * width * channels, at.row - pad_h, at.column - pad_w, height,
                            width, channels, c_count, zeros, patches + t * channels_per_group, place_rows);
            const long pixel = ((long)at.image * out_height + at.row) * out_width + at.column;
            for (int o = 0; o < o_count; o += 8)
                transform_gradient(dy + pixel * outputs + o, line, outputs, at.row + 1 < out_height,
                                   at.column + 1 < out_width,
                                   gradients + o / TILE_COLUMNS * TILE_COLUMNS * tiles_per_block + t * TILE_COLUMNS
                                       + o % TILE_COLUMNS, place_columns);
        }
        for (int place = 0; place < PLACES; ++place)
            for (int o = 0; o < o_count; o += TILE_COLUMNS)
                for (int c = 0; c < c_count; c += TILE_ROWS) {
                    const __global float *elements = patches + place * place_rows + c;
                    const __global float *right = gradients + place * place_columns + o * tiles_per_block;
                    __global float *to = sums + ((long)place * channels + c) * row_stride + o;
                    const int rows = c_count - c;
                    TILE_ZERO
                    for (int t = 0; t < count; ++t, elements += channels_per_group, right += TILE_COLUMNS)
                        TILE_ADD
                    TILE_STORE
                }
    }
}

// dw[o][tap][c] = Gᵀ … G of the parts' sum.
#define SUM_COLUMN(b)                                                                                                  \
    const float8 half##b = 0.5f * (sum[4 + b] + sum[8 + b]), less##b = 0.5f * (sum[4 + b] - sum[8 + b]);               \
    const float8 h0##b = sum[b] + half##b, h1##b = less##b, h2##b = half##b + sum[12 + b];
#define SUM_ROW(a)                                                                                                     \
    turned[3 * a][i] = h##a##0 + 0.5f * (h##a##1 + h##a##2);                                                           \
    turned[3 * a + 1][i] = 0.5f * (h##a##1 - h##a##2);                                                                 \
    turned[3 * a + 2][i] = 0.5f * (h##a##1 + h##a##2) + h##a##3;
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void winograd_weight_sum(const __global float *restrict parts, __global float *restrict dw, long dw_offset, int count,
                         int channels, int outputs, int padded_outputs)
{
    const int o = get_group_id(0) * 8;
    const int c_begin = get_group_id(1) * 64, c_end = min(channels, c_begin + 64);
    const long place_stride = (long)channels * padded_outputs;
    for (int c = c_begin; c < c_end; c += 8) {
        float8 turned[9][8];   // eight channels of eight outputs
        for (int i = 0; i < 8; ++i) {
            float8 sum[PLACES];
            for (int place = 0; place < PLACES; ++place) {
                const __global float *from = parts + place * place_stride + (long)(c + i) * padded_outputs + o;
                float8 s = LOAD8(from);
                for (int part = 1; part < count; ++part)
                    s += LOAD8(from + part * PLACES * place_stride);
                sum[place] = s;
            }
            BY_FOUR(SUM_COLUMN)
            SUM_ROW(0) SUM_ROW(1) SUM_ROW(2)
        }
        for (int tap = 0; tap < 9; ++tap) {
            const float8 *r = turned[tap];
            const float8 r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3], r4 = r[4], r5 = r[5], r6 = r[6], r7 = r[7];
            __global float *to = dw + dw_offset + ((long)o * 9 + tap) * channels + c;
            STORE8(to, COLUMN8(s0));
            STORE8(to + 9 * channels, COLUMN8(s1));
            STORE8(to + 18 * channels, COLUMN8(s2));
            STORE8(to + 27 * channels, COLUMN8(s3));
            STORE8(to + 36 * channels, COLUMN8(s4));
            STORE8(to + 45 * channels, COLUMN8(s5));
            STORE8(to + 54 * channels, COLUMN8(s6));
            STORE8(to + 63 * channels, COLUMN8(s7));
        }
    }
}
