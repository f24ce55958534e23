// Convolution for GPUs as implicit matrix products, NHWC images and OHWI weights. One source, three directions:
//
//   forward (default)   pixels × outputs,   k = (kh, kw, c)    y[pixel, o]  = Σ x[under tap, c] · w[o, kh, kw, c]
//   -D BACKWARD_DATA    pixels × channels,  k = (kh, kw, o)    dx[pixel, c] = Σ dy[under tap, o] · w[o, kh, kw, c]
//   -D BACKWARD_WEIGHTS outputs × weights,  k = pixels         dw[o, kh, kw, c] = Σ dy[pixel, o] · x[under tap, c]
//
//   conv        NDRange (columns/BN · ITEMS, rows/BM, parts): each part takes its share of k, and writes rows × columns
//   conv_sum    adds the parts in order, so the bits are the same always         NDRange (elements)
//
// The gradient of the image gathers, it does not scatter: no atomics. The sizes of the kernel may be fixed by
// -D KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_H, STRIDE_W, CHANNELS (of the gathered image): then no division by a variable
// stays in the loop. The other -D are those of gpu_tile.h.

#ifndef CHANNELS
#define KERNEL_HEIGHT o.kernel_height
#define KERNEL_WIDTH o.kernel_width
#define STRIDE_H o.stride_h
#define STRIDE_W o.stride_w
#define CHANNELS o.channels
#endif

typedef struct {
    const __global float *image, *other;   // what is gathered under taps; weights, or dy for BACKWARD_WEIGHTS
    int rows, columns;
    int height, width;                     // of the gathered image
    int out_height, out_width;             // of the pixels that are enumerated
    int kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w;
    int channels, outputs;                 // of the gathered image; of the other operand's last axis
} operands;

typedef struct {
    long image;      // first element of the pixel's image, or -1: no such pixel
    int h, w;        // forward: p·stride − pad;  backward: h + pad
} pixel_point;

inline pixel_point pixel_begin(const operands o, int pixel, int pixels)
{
    const int column = pixel % o.out_width, line = pixel / o.out_width, row = line % o.out_height;
    pixel_point p;
    p.image = pixel < pixels ? (line / o.out_height) * (long)o.height * o.width * CHANNELS : -1;
#ifdef BACKWARD_DATA
    p.h = row + o.pad_h;
    p.w = column + o.pad_w;
#else
    p.h = row * STRIDE_H - o.pad_h;
    p.w = column * STRIDE_W - o.pad_w;
#endif
    return p;
}

// The image's element under tap (kh, kw) of a pixel; 0 outside.
inline float under_tap(const operands o, const pixel_point p, int kh, int kw, int c)
{
#ifdef BACKWARD_DATA
    const int scaled_h = p.h - kh, scaled_w = p.w - kw;
    const int h = scaled_h / STRIDE_H, w = scaled_w / STRIDE_W;
    const int inside = scaled_h >= 0 && scaled_w >= 0 && h * STRIDE_H == scaled_h && w * STRIDE_W == scaled_w;
#else
    const int h = p.h + kh, w = p.w + kw;
    const int inside = h >= 0 && w >= 0;
#endif
    return p.image >= 0 && inside && h < o.height && w < o.width
         ? o.image[p.image + ((long)h * o.width + w) * CHANNELS + c] : 0.0f;
}

#ifdef BACKWARD_WEIGHTS
#define LEFT_ALONG_K 0
#define RIGHT_ALONG_K 0
typedef int left_point;    // the output
typedef int right_point;   // the weight (kh, kw, c)
inline left_point left_begin(const operands o, int row) { return row; }
inline float left_at(const operands o, left_point row, int k)
{
    return row < o.rows ? o.other[k * (long)o.outputs + row] : 0.0f;
}
inline right_point right_begin(const operands o, int column) { return column; }
inline float right_at(const operands o, right_point j, int k)
{
    if (j >= o.columns)
        return 0.0f;
    const int kh = j / (KERNEL_WIDTH * CHANNELS), kw = j / CHANNELS % KERNEL_WIDTH;
    return under_tap(o, pixel_begin(o, k, k + 1), kh, kw, j % CHANNELS);
}
#else
#define LEFT_ALONG_K 1
#ifdef BACKWARD_DATA
#define RIGHT_ALONG_K 0
#else
#define RIGHT_ALONG_K 1
#endif
typedef pixel_point left_point;
inline left_point left_begin(const operands o, int row) { return pixel_begin(o, row, o.rows); }
inline float left_at(const operands o, const left_point p, int k)
{
    return under_tap(o, p, k / (KERNEL_WIDTH * CHANNELS), k / CHANNELS % KERNEL_WIDTH, k % CHANNELS);
}
typedef int right_point;
inline right_point right_begin(const operands o, int column) { return column; }
inline float right_at(const operands o, right_point column, int k)
{
    if (column >= o.columns)
        return 0.0f;
#ifdef BACKWARD_DATA
    const int tap = k / CHANNELS, output = k % CHANNELS;
    return o.other[((long)output * (KERNEL_HEIGHT * KERNEL_WIDTH) + tap) * o.columns + column];
#else
    return o.other[(long)column * (KERNEL_HEIGHT * KERNEL_WIDTH * CHANNELS) + k];
#endif
}
#endif

#include "gpu_tile.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void conv(const __global float *restrict image, long image_offset, const __global float *restrict other,
          long other_offset, __global float *restrict result, long result_offset, int rows, int columns, int depth,
          int depth_per_part, int height, int width, int out_height, int out_width, int kernel_height,
          int kernel_width, int stride_h, int stride_w, int pad_h, int pad_w, int channels, int outputs)
{
    __local float left[2 * LEFT_LOCAL] __attribute__((aligned(16)));
    __local float right[2 * RIGHT_LOCAL] __attribute__((aligned(16)));
    const operands o = {image + image_offset, other + other_offset, rows, columns, height, width, out_height, out_width,
                        kernel_height, kernel_width, stride_h, stride_w, pad_h, pad_w, channels, outputs};
    const int k_begin = get_group_id(2) * depth_per_part, k_end = min(depth, k_begin + depth_per_part);
    group_tile(o, get_group_id(1) * BM, get_group_id(0) * BN, rows, columns, k_begin, k_end,
               result + result_offset + get_group_id(2) * (long)rows * columns, columns, left, right);
}

__kernel void conv_sum(const __global float *restrict parts, __global float *restrict result, long result_offset,
                       int count, int size)
{
    const int i = get_global_id(0);
    float sum = parts[i];
    for (int part = 1; part < count; ++part)
        sum += parts[(long)part * size + i];
    result[result_offset + i] = sum;
}
