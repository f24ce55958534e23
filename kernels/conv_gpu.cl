// Convolution for GPUs as implicit matrix products, NHWC images and OHWI weights. One source, three directions:
//
//   forward (default)   pixels × outputs,   k = (kh, kw, c)    y[pixel, o]  = Σ x[under tap, c] · w[o, kh, kw, c]
//   -D BACKWARD_DATA    pixels × channels,  k = (kh, kw, o)    dx[pixel, c] = Σ dy[under tap, o] · w[o, kh, kw, c]
//   -D BACKWARD_WEIGHTS outputs × weights,  k = pixels         dw[o, kh, kw, c] = Σ dy[pixel, o] · x[under tap, c]
//
//   conv        NDRange (tiles · ITEMS, parts): part p takes k from p · depth on, and writes rows × columns
//   conv_sum    adds the parts in order, so the bits are the same always         NDRange (elements)
//
// The gradient of the image gathers, it does not scatter: no atomics. An element under a tap lies at the sum of two
// offsets, the pixel's and the tap's, and is inside the image if two masks agree: which rows (lower half of a mask) and
// which columns (upper half) of the kernel a pixel can use, and which ones the tap asks for. So the loop divides nothing.
// -D: see gpu_tile.h; VECTOR if channels and outputs are multiples of four and all is aligned to 16 bytes; FEW_CHANNELS if
// the gathered image has fewer than BK; LARGE_KERNEL for kernels of more than 16, up to 32 rows or columns; WIDE for images
// of 2³¹ elements and more.

#ifdef LARGE_KERNEL
typedef ulong mask_type;
#define HALF 32
#else
typedef uint mask_type;
#define HALF 16
#endif
#ifdef WIDE
typedef long offset_type;
#else
typedef int offset_type;
#endif
#ifndef BK
#define BK 8
#endif

typedef struct {
    const __global float *image, *other;   // what is gathered under taps; weights, or dy for BACKWARD_WEIGHTS
    int rows, columns;
    int height, width;                     // of the gathered image
    int out_height, out_width;             // of the pixels that are enumerated
    int kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w;
    int channels, outputs;                 // of the gathered image; of the other operand's last axis
    int inverse_h, inverse_w;              // 2¹⁶ / stride, rounded up: kh · inverse_h >> 16 is kh / stride_h for kernels of 32
} operands;

typedef struct {
    offset_type offset;    // of tap (0, 0), channel 0: may lie outside the image
    mask_type usable;      // rows and columns of the kernel that meet the image
} pixel_point;

// The bits of [begin, end) within [0, count).
inline mask_type bits(int begin, int end, int count)
{
    begin = max(begin, 0), end = min(end, count);
    return end > begin ? (((mask_type)1 << (end - begin)) - 1) << begin : 0;
}

#ifdef BACKWARD_DATA
// Every stride-th bit of [0, count), the first one at `first`, where the pixel that the tap comes from is inside.
inline mask_type strided_bits(int scaled, int stride, int size, int count)
{
    if (stride == 1)
        return bits(scaled - size + 1, scaled + 1, count);
    mask_type mask = 0;
    for (int tap = scaled % stride; tap < count && tap <= scaled; tap += stride)
        if ((scaled - tap) / stride < size)
            mask |= (mask_type)1 << tap;
    return mask;
}
#endif

inline pixel_point pixel_at(const operands o, int image, int row, int column)
{
    pixel_point p;
#ifdef BACKWARD_DATA
    const int h = row + o.pad_h, w = column + o.pad_w;
    p.usable = strided_bits(h, o.stride_h, o.height, o.kernel_height)
             | strided_bits(w, o.stride_w, o.width, o.kernel_width) << HALF;
    p.offset = (((offset_type)image * o.height + h / o.stride_h) * o.width + w / o.stride_w) * o.channels;
#else
    const int h = row * o.stride_h - o.pad_h, w = column * o.stride_w - o.pad_w;
    p.usable = bits(-h, o.height - h, o.kernel_height) | bits(-w, o.width - w, o.kernel_width) << HALF;
    p.offset = (((offset_type)image * o.height + h) * o.width + w) * o.channels;
#endif
    return p;
}

inline pixel_point pixel_begin(const operands o, int pixel)
{
    const int line = pixel / o.out_width;
    return pixel_at(o, line / o.out_height, line % o.out_height, pixel % o.out_width);
}

typedef struct {
    offset_type offset;   // of the tap and its channel from a pixel's offset
    mask_type wanted;
} tap_point;

inline tap_point tap_at(const operands o, int kh, int kw, int c)
{
    tap_point t;
    t.wanted = (mask_type)1 << kh | (mask_type)1 << (HALF + kw);
#ifdef BACKWARD_DATA
    t.offset = c - ((offset_type)(kh * o.inverse_h >> 16) * o.width + (kw * o.inverse_w >> 16)) * o.channels;
#else
    t.offset = c + ((offset_type)kh * o.width + kw) * o.channels;
#endif
    return t;
}

#ifdef BACKWARD_WEIGHTS

#define LEFT_ALONG_K 0
#define LEFT_WIDTH (VECTOR ? 4 : 1)
#define RIGHT_ALONG_K 0
#define RIGHT_WIDTH (VECTOR ? 4 : 1)
typedef int left_point;    // the output
typedef struct {
    const __global float *from;
    int left;              // how many k are still there
} left_walk;
inline left_point left_begin(const operands o, int row) { return min(row, o.rows - LEFT_WIDTH); }
inline left_walk left_start(const operands o, int k, int k_end)
{
    const left_walk walk = {o.other + k * (long)o.outputs, k_end - k};
    return walk;
}
inline void left_next(const operands o, left_walk *walk) { walk->from += BK * o.outputs; walk->left -= BK; }
#define left_from(point, walk) ((walk).from + (point))
#define left_inside(point, walk) ((walk).left > 0)

typedef tap_point right_point;
typedef struct {
    const __global float *from;
    int left, image, row, column;
    pixel_point pixel;
} right_walk;
inline right_point right_begin(const operands o, int column)
{
    const int j = min(column, o.columns - RIGHT_WIDTH), tap = j / o.channels;
    return tap_at(o, tap / o.kernel_width, tap % o.kernel_width, j % o.channels);
}
inline right_walk right_start(const operands o, int k, int k_end)
{
    const int line = k / o.out_width;
    right_walk walk = {o.image, k_end - k, line / o.out_height, line % o.out_height, k % o.out_width};
    walk.pixel = pixel_at(o, walk.image, walk.row, walk.column);
    return walk;
}
inline void right_next(const operands o, right_walk *walk)
{
    walk->left -= BK;
    walk->column += BK;
    while (walk->column >= o.out_width) {
        walk->column -= o.out_width;
        if (++walk->row == o.out_height) {
            walk->row = 0;
            ++walk->image;
        }
    }
    walk->pixel = pixel_at(o, walk->image, walk->row, walk->column);
}
#define right_from(point, walk) ((walk).from + (walk).pixel.offset + (point).offset)
#define right_inside(point, walk) ((walk).left > 0 && ((walk).pixel.usable & (point).wanted) == (point).wanted)

#else

// Where a k stands: a tap and a channel of the gathered image.
typedef struct {
    const __global float *from;
    int left, kh, kw, c;
    tap_point tap;
} tap_walk;
inline tap_walk tap_start(const operands o, const __global float *from, int k, int k_end)
{
    const int tap = k / o.channels;
    tap_walk walk = {from, k_end - k, tap / o.kernel_width, tap % o.kernel_width, k % o.channels};
    walk.tap = tap_at(o, walk.kh, walk.kw, walk.c);
    return walk;
}
// Moves on by BK.
inline void tap_next(const operands o, tap_walk *walk)
{
    walk->left -= BK;
    walk->c += BK;
#if FEW_CHANNELS
    const int taps = walk->c / o.channels, rows = (walk->kw + taps) / o.kernel_width;
#else
    const int taps = walk->c >= o.channels, rows = walk->kw + taps >= o.kernel_width;
#endif
    walk->c -= taps * o.channels;
    walk->kw += taps - rows * o.kernel_width;
    walk->kh += rows;
    walk->tap = tap_at(o, walk->kh, walk->kw, walk->c);
}

#define LEFT_ALONG_K 1
#define LEFT_WIDTH 1
typedef pixel_point left_point;
typedef tap_walk left_walk;
inline left_point left_begin(const operands o, int row) { return pixel_begin(o, min(row, o.rows - 1)); }
inline left_walk left_start(const operands o, int k, int k_end) { return tap_start(o, o.image, k, k_end); }
#define left_next tap_next
#define left_from(point, walk) ((walk).from + (point).offset + (walk).tap.offset)
#define left_inside(point, walk) ((walk).left > 0 && ((point).usable & (walk).tap.wanted) == (walk).tap.wanted)

#ifdef BACKWARD_DATA
#define RIGHT_ALONG_K 0
#define RIGHT_WIDTH (VECTOR ? 4 : 1)
typedef int right_point;   // the channel
typedef tap_walk right_walk;
inline right_point right_begin(const operands o, int column) { return min(column, o.columns - RIGHT_WIDTH); }
// From the weights of tap `tap` and output c, columns are neighbours.
inline const __global float *weights_of(const operands o, const tap_walk *walk)
{
    const int taps = o.kernel_height * o.kernel_width, tap = walk->kh * o.kernel_width + walk->kw;
    return o.other + ((long)walk->c * taps + tap) * o.columns;
}
inline right_walk right_start(const operands o, int k, int k_end)
{
    right_walk walk = tap_start(o, o.other, k, k_end);
    walk.from = weights_of(o, &walk);
    return walk;
}
inline void right_next(const operands o, right_walk *walk)
{
    tap_next(o, walk);
    walk->from = weights_of(o, walk);
}
#else
#define RIGHT_ALONG_K 1
#define RIGHT_WIDTH 1
typedef offset_type right_point;   // of the output's weights
typedef struct {
    const __global float *from;
    int left;
} right_walk;
inline right_point right_begin(const operands o, int column)
{
    return min(column, o.columns - 1) * (offset_type)(o.kernel_height * o.kernel_width * o.channels);
}
inline right_walk right_start(const operands o, int k, int k_end)
{
    const right_walk walk = {o.other + k, k_end - k};
    return walk;
}
inline void right_next(const operands o, right_walk *walk) { walk->from += BK; walk->left -= BK; }
#endif
#define right_from(point, walk) ((walk).from + (point))
#define right_inside(point, walk) ((walk).left > 0)

#endif

#include "gpu_tile.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void conv(const __global float *restrict image, long image_offset, const __global float *restrict other,
          long other_offset, __global float *restrict result, long result_offset, int rows, int columns, int K, int depth,
          int height, int width, int out_height, int out_width, int kernel_height, int kernel_width, int stride_h,
          int stride_w, int pad_h, int pad_w, int channels, int outputs)
{
    __local float local_memory[LOCAL] __attribute__((aligned(16)));
    const operands o = {image + image_offset, other + other_offset, rows, columns, height, width, out_height, out_width,
                        kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w, channels, outputs,
                        (65535 + stride_h) / stride_h, (65535 + stride_w) / stride_w};
    const int k_begin = get_group_id(1) * depth, k_end = min(K, k_begin + depth), across = (columns + BN - 1) / BN;
    group_tile(o, get_group_id(0) / across * BM, get_group_id(0) % across * BN, rows, columns, k_begin, k_end,
               result + result_offset + get_group_id(1) * (long)rows * columns, columns, local_memory);
}

__kernel void conv_sum(const __global float *restrict parts, __global float *restrict result, long result_offset,
                       int count, long size)
{
    const long i = get_global_id(0);
    float sum = parts[i];
    for (int part = 1; part < count; ++part)
        sum += parts[part * size + i];
    result[result_offset + i] = sum;
}
