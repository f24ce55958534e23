// Convolution of each channel by a kernel of its own, NHWC images; weights come as [KH, KW, C], channels side by side.
//
//   depthwise           y[pixel, c] = Σ x[under tap, c] · w[tap, c]; with -D BACKWARD the gradient of the image
//   depthwise_weights   parts[part, tap, c] = Σ dy[pixel, c] · x[under tap, c] over the lines of one part
//
// There are as few products as elements read, so the vectors lie along the channels, memory decides the time, and no local
// memory is needed. Everything gathers: no atomics, the same bits always.
//
// CPU: an item takes `each` pixels, or a part with all taps       NDRange (pixels / each) · (parts)
// GPU: an item takes LANES channels of a pixel, or of a part's tap   NDRange (any) · (channels / LANES · taps, parts)
// -D LANES: 4 if channels and offsets are multiples of four, else 1 (GPU only); INDEX: int, or long for huge results.
#include "vectors.h"

typedef struct {
    int height, width, channels;   // of what is gathered
    int out_height, out_width;     // of the pixels that are enumerated
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int tap_step_h, tap_step_w;    // from one tap that meets a pixel to the next one
} geometry;

#define GEOMETRY                                                                                                       \
    int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w, int stride_h,      \
    int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int tap_step_h, int tap_step_w
#define G {height, width, channels, out_height, out_width, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w,         \
           dilation_h, dilation_w, tap_step_h, tap_step_w}

// The taps along one axis that meet the source: the first one, how many, and where the first one lies.
typedef struct {
    int tap, count, position;
} span;

#ifdef BACKWARD
#define STEP(dilation, stride, tap_step) (-(dilation) * (tap_step) / (stride))
inline span span_at(int pixel, int size, int kernel_size, int stride, int pad, int dilation, int tap_step)
{
    span s = {0, 0, 0};
    int scaled = pixel + pad;
    while (s.tap < kernel_size && scaled >= 0 && (scaled % stride || scaled / stride >= size)) {
        ++s.tap;
        scaled -= dilation;
    }
    if (s.tap == kernel_size || scaled < 0)
        return s;
    s.position = scaled / stride;
    s.count = min((kernel_size - 1 - s.tap) / tap_step, s.position / (dilation * tap_step / stride)) + 1;
    return s;
}
#else
#define STEP(dilation, stride, tap_step) (dilation)
inline span span_at(int pixel, int size, int kernel_size, int stride, int pad, int dilation, int tap_step)
{
    const int origin = pixel * stride - pad;
    span s = {origin < 0 ? (dilation - 1 - origin) / dilation : 0, 0, 0};
    s.position = origin + s.tap * dilation;
    if (s.tap < kernel_size && s.position < size)
        s.count = min(kernel_size - 1 - s.tap, (size - 1 - s.position) / dilation) + 1;
    return s;
}
#endif

// A pixel's spans, and its first tap in x and w.
#define PIXEL_SPANS(image, row, column)                                                                                 \
    const span rows = span_at(row, g.height, g.kernel_h, g.stride_h, g.pad_h, g.dilation_h, g.tap_step_h);               \
    const span columns = span_at(column, g.width, g.kernel_w, g.stride_w, g.pad_w, g.dilation_w, g.tap_step_w);          \
    const long x_row = STEP(g.dilation_h, g.stride_h, g.tap_step_h) * (long)g.width * g.channels;                        \
    const int x_column = STEP(g.dilation_w, g.stride_w, g.tap_step_w) * g.channels;                                      \
    const int w_row = g.tap_step_h * g.kernel_w * g.channels, w_column = g.tap_step_w * g.channels;                      \
    const __global float *x_first = x + (((long)(image) * g.height + rows.position) * g.width + columns.position) * g.channels; \
    const __global float *w_first = w + (rows.tap * g.kernel_w + columns.tap) * g.channels;

#define EACH_TAP(DO)                                                                                                    \
    for (int a = 0; a < rows.count; ++a) {                                                                               \
        const __global float *from = x_first + c + a * x_row, *weight = w_first + c + a * w_row;                         \
        for (int b = 0; b < columns.count; ++b, from += x_column, weight += w_column) { DO }                             \
    }

// The pixels q of a line whose tap at column kw lies inside the image: [first, end).
#define LINE_ENDS(kw)                                                                                                   \
    const int ahead = g.pad_w - (kw) * g.dilation_w;                                                                     \
    const int first = ahead > 0 ? (ahead + g.stride_w - 1) / g.stride_w : 0;                                             \
    const int end = g.width - 1 + ahead < 0 ? 0 : min(g.out_width, (g.width - 1 + ahead) / g.stride_w + 1);
#define LINE_ROW(line, kh) ((line) % g.out_height * g.stride_h - g.pad_h + (kh) * g.dilation_h)
#define LINE_START(line, row)                                                                                            \
    const __global float *pixel = dy + ((long)(line) * g.out_width + first) * g.channels + c;                            \
    const __global float *from =                                                                                         \
        x + (((long)((line) / g.out_height) * g.height + row) * g.width + first * g.stride_w - ahead) * g.channels + c;
#define NEXT pixel += g.channels, from += g.stride_w * g.channels

#if CPU

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void depthwise(const __global float *restrict x, long x_offset, const __global float *restrict w,
               __global float *restrict y, long pixels, int each, GEOMETRY)
{
    const geometry g = G;
    const long begin = get_global_id(0) * (long)each, end = min(begin + each, pixels);
    x += x_offset;
    for (long pixel = begin; pixel < end; ++pixel) {
        const long line = pixel / g.out_width;
        PIXEL_SPANS(line / g.out_height, (int)(line % g.out_height), (int)(pixel % g.out_width))
        __global float *to = y + pixel * g.channels;
        int c = 0;
        for (; c + 32 <= g.channels; c += 32) {
            float8 s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            EACH_TAP(s0 += LOAD8(from) * LOAD8(weight); s1 += LOAD8(from + 8) * LOAD8(weight + 8);
                     s2 += LOAD8(from + 16) * LOAD8(weight + 16); s3 += LOAD8(from + 24) * LOAD8(weight + 24);)
            STORE8(to + c, s0); STORE8(to + c + 8, s1); STORE8(to + c + 16, s2); STORE8(to + c + 24, s3);
        }
        for (; c + 8 <= g.channels; c += 8) {
            float8 sum = 0;
            EACH_TAP(sum += LOAD8(from) * LOAD8(weight);)
            STORE8(to + c, sum);
        }
        for (; c < g.channels; ++c) {
            float sum = 0;
            EACH_TAP(sum += *from * *weight;)
            to[c] = sum;
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void depthwise_weights(const __global float *restrict x, long x_offset, const __global float *restrict dy,
                       long dy_offset, __global float *restrict parts, int lines, int lines_per_part, GEOMETRY)
{
    const geometry g = G;
    const int line_begin = get_global_id(0) * lines_per_part, line_end = min(lines, line_begin + lines_per_part);
    const int taps = g.kernel_h * g.kernel_w;
    __global float *sums = parts + get_global_id(0) * (long)taps * g.channels;
    x += x_offset;
    dy += dy_offset;
    for (int i = 0; i < taps * g.channels; ++i)
        sums[i] = 0;
    for (int line = line_begin; line < line_end; ++line)
        for (int block = 0; block < g.channels; block += 32)  // whose lines stay in the first cache for all taps
            for (int tap = 0; tap < taps; ++tap) {
                const int row = LINE_ROW(line, tap / g.kernel_w), block_end = min(block + 32, g.channels);
                __global float *to = sums + tap * g.channels;
                LINE_ENDS(tap % g.kernel_w)
                if (row < 0 || row >= g.height || first >= end)
                    continue;
                int c = block;
                for (; c + 32 <= block_end; c += 32) {
                    float8 s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    LINE_START(line, row)
                    for (int q = first; q < end; ++q, NEXT) {
                        s0 += LOAD8(pixel) * LOAD8(from);
                        s1 += LOAD8(pixel + 8) * LOAD8(from + 8);
                        s2 += LOAD8(pixel + 16) * LOAD8(from + 16);
                        s3 += LOAD8(pixel + 24) * LOAD8(from + 24);
                    }
                    STORE8(to + c, LOAD8(to + c) + s0);
                    STORE8(to + c + 8, LOAD8(to + c + 8) + s1);
                    STORE8(to + c + 16, LOAD8(to + c + 16) + s2);
                    STORE8(to + c + 24, LOAD8(to + c + 24) + s3);
                }
                for (; c + 8 <= block_end; c += 8) {
                    float8 sum = 0;
                    LINE_START(line, row)
                    for (int q = first; q < end; ++q, NEXT)
                        sum += LOAD8(pixel) * LOAD8(from);
                    STORE8(to + c, LOAD8(to + c) + sum);
                }
                for (; c < block_end; ++c) {
                    float sum = 0;
                    LINE_START(line, row)
                    for (int q = first; q < end; ++q, NEXT)
                        sum += *pixel * *from;
                    to[c] += sum;
                }
            }
}

#else

#if LANES == 4
typedef float4 floats;
#else
typedef float floats;
#endif
#define LOAD(p) (*(const __global floats *)(p))

__kernel void depthwise(const __global float *restrict x, long x_offset, const __global float *restrict w,
                        __global float *restrict y, long pixels, int each, GEOMETRY)
{
    const geometry g = G;
    const INDEX blocks = g.channels / LANES, count = pixels * blocks;
    x += x_offset;
    for (INDEX at = get_global_id(0); at < count; at += get_global_size(0)) {
        const INDEX pixel = at / blocks, line = pixel / g.out_width;
        const int c = (int)(at % blocks) * LANES;
        PIXEL_SPANS(line / g.out_height, (int)(line % g.out_height), (int)(pixel % g.out_width))
        floats sum = 0;
        EACH_TAP(sum += LOAD(from) * LOAD(weight);)
        *(__global floats *)(y + pixel * (long)g.channels + c) = sum;
    }
}

__kernel void depthwise_weights(const __global float *restrict x, long x_offset, const __global float *restrict dy,
                                long dy_offset, __global float *restrict parts, int lines, int lines_per_part, GEOMETRY)
{
    const geometry g = G;
    const int blocks = g.channels / LANES, tap = get_global_id(0) / blocks, c = get_global_id(0) % blocks * LANES;
    const int part = get_global_id(1), line_begin = part * lines_per_part;
    const int line_end = min(lines, line_begin + lines_per_part), taps = g.kernel_h * g.kernel_w;
    if (tap >= taps)
        return;
    x += x_offset;
    dy += dy_offset;
    floats sum = 0;
    LINE_ENDS(tap % g.kernel_w)
    for (int line = line_begin; line < line_end; ++line) {
        const int row = LINE_ROW(line, tap / g.kernel_w);
        if (row < 0 || row >= g.height)
            continue;
        LINE_START(line, row)
        for (int q = first; q < end; ++q, NEXT)
            sum += LOAD(pixel) * LOAD(from);
    }
    *(__global floats *)(parts + ((long)part * taps + tap) * g.channels + c) = sum;
}

#endif
