// Convolution for CPUs, NHWC images and OHWI weights: no im2col, the register tile reads the images in place.
//
//   conv_gather         forward, and with -D BACKWARD the gradient of the image      NDRange (blocks of tiles)
//   conv_weight_parts   the gradient of the weights, each from a part of the pixels  NDRange (O/block, J/block, parts)
//   conv_weight_sum     adds the parts in order: no atomics, the same bits always    NDRange (O/8, J/64)
//   conv_pad            images with a border of zeros, for conv_weight_parts         NDRange (H', N)
//
// Weights come packed by gemm_pack_b, with a panel of zeros at the end: forward as one matrix [KH·KW·C, O], backward as
// one [O, C] for each tap.
//
// A pixel of the result is a dot product over taps (kh, kw) and channels. As in XNNPACK's indirect convolution
// (M. Dukhan, "The Indirect Convolution Algorithm", 2019) each tile row holds a pointer to its pixel's channels under
// the present tap, and taps outside the image point to a row of zeros. Where all taps of a kernel row lie inside, they and
// their channels are one contiguous run of KW·C elements.

#include "cpu_tile.h"

#define MOST_TILES 24   // of one group

typedef struct {
    int height, width, channels;      // of the source
    int out_height, out_width, outputs;
    int kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w;
} geometry;

// Where tap `k` of a pixel whose origin is `o` lies in the source; negative: outside. Forward: o = p·stride − pad, and the
// tap is at o + k. Backward: o = h + pad, and output p with p·stride + k = o contributes.
inline int source_position(int o, int k, int stride, int extent)
{
#ifdef BACKWARD
    const int scaled = o - k;
    if (stride == 1)  // without a division, which would cost as much as a tap's products
        return scaled < extent ? scaled : -1;
    const int position = scaled / stride;
    return scaled >= 0 && position * stride == scaled && position < extent ? position : -1;
#else
    const int position = o + k;
    return position >= 0 && position < extent ? position : -1;
#endif
}

#define LEFT(i) p##i[k]
#define POINT_INSIDE(i) const __global float *p##i = x + start[i] + shift;
#define LINE_TAP(i)                                                                              \
    const int y##i = source_position(origin_h[i], kh, g.stride_h, g.height);                     \
    const __global float *line##i = x + start[i] + (long)y##i * g.width * g.channels;
#define POINT_TAP(i)                                                                             \
    const int x##i = source_position(origin_w[i], kw, g.stride_w, g.width);                      \
    const __global float *p##i = y##i >= 0 && x##i >= 0 ? line##i + x##i * g.channels : zeros;
#define ANY_LINE(i) | (y##i >= 0)
#define ANY_POINT(i) | (p##i != zeros)

// The tile of TILE_ROWS pixels by TILE_COLUMNS outputs. `start` is the first element read (inside) or the image's own
// first element (not inside).
WIDE_VECTORS inline void gather_tile(const __global float *restrict x, const long *start, const int *origin_h,
                                     const int *origin_w, int inside, const geometry g, const __global float *zeros,
                                     const __global float *restrict packed, long tap_stride, __global float *to,
                                     long row_stride, int rows, int columns)
{
    const int onto = 0;
    TILE_ZERO
    if (inside) {
        const int run = g.kernel_width * g.channels;
        const __global float *right = packed;
        for (int kh = 0; kh < g.kernel_height; ++kh) {
            const long shift = (long)kh * g.width * g.channels;
            EACH_ROW(POINT_INSIDE)
            for (int k = 0; k < run; ++k, right += TILE_COLUMNS)
                TILE_ADD
        }
    } else {
        for (int kh = 0; kh < g.kernel_height; ++kh) {
            EACH_ROW(LINE_TAP)
            if (!(0 EACH_ROW(ANY_LINE)))
                continue;
            for (int kw = 0; kw < g.kernel_width; ++kw) {
                EACH_ROW(POINT_TAP)
                if (!(0 EACH_ROW(ANY_POINT)))
                    continue;
                const __global float *right = packed + (kh * g.kernel_width + kw) * tap_stride;
                for (int k = 0; k < g.channels; ++k, right += TILE_COLUMNS)
                    TILE_ADD
            }
        }
    }
    TILE_STORE
}
#undef LEFT

// The rows of a tile are neighbouring pixels, or with by_image the same pixel of neighbouring images: then all of them
// lie under the same taps, and no row multiplies zeros because its neighbour's tap is inside.
typedef struct {
    int image, row, column;
} position;

inline void advance(position *p, const geometry *g, int images)
{
    if (++p->column < g->out_width)
        return;
    p->column = 0;
    if (++p->row < g->out_height)
        return;
    p->row = 0;
    p->image += images;
}

WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv_gather(const __global float *restrict x, long x_offset, const __global float *restrict packed,
                 long zeros_offset, __global float *restrict y, long y_offset, int images, int by_image, int tiles,
                 int tiles_per_group, long panel_stride, long tap_stride, int height, int width, int channels,
                 int out_height, int out_width, int outputs, int kernel_height, int kernel_width, int stride_h,
                 int stride_w, int pad_h, int pad_w)
{
    const geometry g = {height, width, channels, out_height, out_width, outputs,
                        kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w};
    const long image_size = (long)height * width * channels;
    const int out_size = out_height * out_width, images_together = by_image ? TILE_ROWS : 1;
    const long row_stride = by_image ? (long)out_size * outputs : outputs;
    const int begin = get_group_id(0) * tiles_per_group, count = min(tiles_per_group, tiles - begin);

    // Where each tile writes, and where its rows read.
    long start[MOST_TILES * TILE_ROWS], place[MOST_TILES];
    int origin_h[MOST_TILES * TILE_ROWS], origin_w[MOST_TILES * TILE_ROWS], inside[MOST_TILES], rows[MOST_TILES];
    const int pixel = by_image ? begin : begin * TILE_ROWS;
    position p = {pixel / out_size * images_together, pixel / out_width % out_height, pixel % out_width};
    for (int t = 0; t < count; ++t) {
        place[t] = (long)p.image * out_size + p.row * out_width + p.column;
        rows[t] = by_image ? images - p.image : (int)min((long)images * out_size - place[t], (long)TILE_ROWS);
        inside[t] = 1;
        for (int i = t * TILE_ROWS; i < (t + 1) * TILE_ROWS; ++i) {
            const int image = by_image ? p.image + i - t * TILE_ROWS : p.image;
            start[i] = min(image, images - 1) * image_size;  // rows past the last image are not stored
#ifdef BACKWARD
            origin_h[i] = p.row + pad_h;
            origin_w[i] = p.column + pad_w;
            inside[t] = 0;
#else
            origin_h[i] = p.row * stride_h - pad_h;
            origin_w[i] = p.column * stride_w - pad_w;
            inside[t] &= origin_h[i] >= 0 && origin_h[i] + kernel_height <= height
                      && origin_w[i] >= 0 && origin_w[i] + kernel_width <= width;
#endif
            if (!by_image)
                advance(&p, &g, 1);
        }
        if (by_image)
            advance(&p, &g, TILE_ROWS);
        for (int i = t * TILE_ROWS; inside[t] && i < (t + 1) * TILE_ROWS; ++i)
            start[i] += ((long)origin_h[i] * width + origin_w[i]) * channels;
    }

    for (int o = 0; o < outputs; o += TILE_COLUMNS)
        for (int t = 0; t < count; ++t)
            gather_tile(x + x_offset, start + t * TILE_ROWS, origin_h + t * TILE_ROWS, origin_w + t * TILE_ROWS,
                        inside[t], g, packed + zeros_offset, packed + o / TILE_COLUMNS * panel_stride, tap_stride,
                        y + y_offset + place[t] * outputs + o, row_stride, rows[t], min(TILE_COLUMNS, outputs - o));
}

// ---------------------------------------------------------------- gradient of the weights

// `columns` elements of each of `pixels` rows, side by side, with zeros up to TILE_COLUMNS.
inline void copy_panel(const __global float *from, int outputs, int columns, int pixels, __global float *panel)
{
    for (int pixel = 0; pixel < pixels; ++pixel, from += outputs, panel += TILE_COLUMNS)
        if (columns == TILE_COLUMNS)
            for (int i = 0; i < TILE_COLUMNS; i += 8)
                STORE8(panel + i, LOAD8(from + i));
        else
            for (int i = 0; i < TILE_COLUMNS; ++i)
                panel[i] = i < columns ? from[i] : 0.0f;
}

// The source element that weight j = (kh, kw, c) meets in the pixel (0, 0).
inline long weight_offset(int j, int width, int channels, int kernel_width)
{
    const int run = kernel_width * channels;
    return (long)(j / run) * width * channels + j % run;
}

// Rows of the tile are weights j of one output channel, columns are output channels, steps are pixels of the result.
// The images are already padded. A group has a block of weights, of outputs, and of the lines (rows of pixels) of all
// images. It goes through its lines a few at a time, so that they stay in the cache for all its tiles, and for each
// panel of outputs it first copies their dy into its slice of `panels`: lines_per_pass · out_width · TILE_COLUMNS floats.
#define LEFT(i) pixel[at##i]
#define WEIGHT_AT(i) const long at##i = weight_offset(min(j + i, weights - 1), width, channels, kernel_width);
WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv_weight_parts(const __global float *restrict x, long x_offset, const __global float *restrict dy,
                       long dy_offset, __global float *restrict parts, __global float *panels, int lines,
                       int lines_per_part, int lines_per_pass, int weights, int weights_per_group, int outputs,
                       int outputs_per_group, int height, int width, int channels, int out_height, int out_width,
                       int kernel_width, int stride_h, int stride_w)
{
    const int part = get_group_id(2), columns = TILE_COLUMNS;
    const int o_begin = get_group_id(0) * outputs_per_group, o_end = min(outputs, o_begin + outputs_per_group);
    const int j_begin = get_group_id(1) * weights_per_group, j_end = min(weights, j_begin + weights_per_group);
    const int line_begin = part * lines_per_part, line_end = min(lines, line_begin + lines_per_part);
    const long row_stride = (long)(outputs + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
    const long group = ((long)part * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) + get_group_id(0);
    __global float *panel = panels + group * lines_per_pass * out_width * TILE_COLUMNS;
    x += x_offset;
    dy += dy_offset;
    parts += part * weights * row_stride;
    for (int pass = line_begin; pass < line_end; pass += lines_per_pass) {
        const int pass_end = min(line_end, pass + lines_per_pass), onto = pass > line_begin;
        for (int o = o_begin; o < o_end; o += TILE_COLUMNS) {
            copy_panel(dy + (long)pass * out_width * outputs + o, outputs, min(TILE_COLUMNS, o_end - o),
                       (pass_end - pass) * out_width, panel);
            for (int j = j_begin; j < j_end; j += TILE_ROWS) {
                const int rows = j_end - j;
                __global float *to = parts + j * row_stride + o;
                const __global float *right = panel;
                EACH_ROW(WEIGHT_AT)
                TILE_ZERO
                for (int line = pass; line < pass_end; ++line) {
                    const long image = line / out_height, row = (line % out_height) * stride_h;
                    const __global float *pixel = x + (image * height + row) * width * channels;
                    for (int q = 0; q < out_width; ++q, pixel += stride_w * channels, right += TILE_COLUMNS)
                        TILE_ADD
                }
                TILE_STORE
            }
        }
    }
}

// parts[part][weights][padded outputs] -> dw[outputs][weights]
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv_weight_sum(const __global float *restrict parts, __global float *restrict dw, long dw_offset, int count,
                     int weights, int outputs, int padded_outputs)
{
    const int o = get_group_id(0) * 8;
    const int j_begin = get_group_id(1) * 64, j_end = min(weights, j_begin + 64);
    for (int j = j_begin; j < j_end; j += 8) {
        float8 sum[8];
        for (int i = 0; i < 8; ++i) {
            const __global float *from = parts + (long)min(j + i, weights - 1) * padded_outputs + o;
            float8 s = LOAD8(from);
            for (int part = 1; part < count; ++part)
                s += LOAD8(from + (long)part * weights * padded_outputs);
            sum[i] = s;
        }
        const float *lane = (const float *)sum;
        for (int r = 0; r < min(8, outputs - o); ++r)
            for (int i = 0; i < min(8, weights - j); ++i)
                dw[dw_offset + (long)(o + r) * weights + j + i] = lane[8 * i + r];
    }
}

// A group has one line. (PoCL would choose another group size, and compile, for each batch size.)
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv_pad(const __global float *restrict x, long x_offset, __global float *restrict padded, int height, int line,
              int pad_h, int pad_line)
{
    const int h = (int)get_group_id(0) - pad_h, inside = h >= 0 && h < height;
    const long image = get_group_id(1);
    const __global float *from = x + x_offset + (image * height + h) * line;
    __global float *to = padded + (image * get_num_groups(0) + get_group_id(0)) * (line + 2 * pad_line);
    for (int i = -pad_line; i < line + pad_line; ++i)
        *to++ = inside && i >= 0 && i < line ? from[i] : 0.0f;
}
