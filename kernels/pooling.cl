// Max and average pooling of images NHWC, forward and backward, without atomics.
//
// All kernels take the geometry: n images h×w×c, outputs oh×ow, windows kh×kw every sh×sw, padding ph×pw.
// Forward.  GPU: one item per output element, global (any,). CPU: one item per `each` output pixels.
// Backward. GPU: one item per input element gathers from the windows that cover it, global (any,).
//           CPU: one item per image and block of 32 channels walks over its windows in order, global (blocks, n).
#include "common.h"
#include "vectors.h"

#define GEOMETRY                                                                                              \
  const int n, const int h, const int w, const int c, const int oh, const int ow, const int kh, const int kw, \
      const int sh, const int sw, const int ph, const int pw

// The part of the image that window (i, j) covers.
#define WINDOW(i, j)                                            \
  const int top = max((i) * sh - ph, 0), left = max((j) * sw - pw, 0); \
  const int bottom = min((i) * sh - ph + kh, h), right = min((j) * sw - pw + kw, w)

// How many cells of the padded image window (i, j) covers; with -D INSIDE_ONLY, of the image.
#ifdef INSIDE_ONLY
#define SIDE(i, s, k, p, size) (min((i) * s - p + k, size) - max((i) * s - p, 0))
#else
#define SIDE(i, s, k, p, size) (min((i) * s + k, size + 2 * p) - (i) * s)
#endif
#define AREA(i, j) (float)(SIDE(i, sh, kh, ph, h) * SIDE(j, sw, kw, pw, w))

// NaN wins, as in NumPy.
#define LARGER(p, q) ((q) > (p) || (q) != (q) ? (q) : (p))

#define BLOCK 32

#if CPU

#define FOR_EACH_PIXEL                                                        \
  const long pixels = (long)n * oh * ow;                                      \
  const long last_pixel = min((long)(get_global_id(0) + 1) * each, pixels);   \
  for (long pixel = get_global_id(0) * (long)each; pixel < last_pixel; ++pixel)

#define PIXEL_WINDOW                                                \
  const int i = (int)(pixel / ow % oh), j = (int)(pixel % ow);      \
  __global const float *image = x + pixel / ((long)ow * oh) * h * w * c; \
  __global float *to = y + pixel * c;                               \
  WINDOW(i, j)

ONE_ITEM_A_GROUP
__kernel void max_forward(GEOMETRY, const int each, __global const float *restrict x, const long x_offset,
                          __global float *restrict y) {
  x += x_offset;
  FOR_EACH_PIXEL {
    PIXEL_WINDOW;
    for (int k = 0; k < c; ++k) to[k] = image[((long)top * w + left) * c + k];
    for (int row = top; row < bottom; ++row)
      for (int column = left; column < right; ++column) {
        __global const float *from = image + ((long)row * w + column) * c;
        for (int k = 0; k < c; ++k) to[k] = LARGER(to[k], from[k]);
      }
  }
}

ONE_ITEM_A_GROUP
__kernel void average_forward(GEOMETRY, const int each, __global const float *restrict x, const long x_offset,
                              __global float *restrict y) {
  x += x_offset;
  FOR_EACH_PIXEL {
    PIXEL_WINDOW;
    for (int k = 0; k < c; ++k) to[k] = 0;
    for (int row = top; row < bottom; ++row)
      for (int column = left; column < right; ++column) {
        __global const float *from = image + ((long)row * w + column) * c;
        for (int k = 0; k < c; ++k) to[k] += from[k];
      }
    const float area = AREA(i, j);
    for (int k = 0; k < c; ++k) to[k] /= area;
  }
}

// Position of this item's image and channels in x and y, and its own part of dx set to zero.
#define BEGIN_SCATTER                                                                   \
  const int first = get_global_id(0) * BLOCK, width = min(BLOCK, c - first);            \
  const long input = get_global_id(1) * (long)h * w * c + first;                        \
  const long output = get_global_id(1) * (long)oh * ow * c + first;                     \
  for (long pixel = 0; pixel < (long)h * w; ++pixel)                                    \
    for (int k = 0; k < width; ++k) dx[input + pixel * c + k] = 0

// DO for as many channels from k on as come in whole vectors of `lanes`: PoCL 3 does not vectorise max_backward itself.
#define CHANNELS_BY(lanes, count, DO) \
  for (; k + lanes <= count; k += lanes) DO(FLOAT##lanes, LOAD##lanes, STORE##lanes)
#define FLOAT8 float8
#define FLOAT4 float4
#define FLOAT1 float
#define LOAD1(p) (*(p))
#define STORE1(p, value) (*(p) = (value))

// What is left over of dy goes to the first maximum of the window, which leaves nothing.
#define MAX_TO_WINDOW(FLOAT, LOAD, STORE)                                                   \
  {                                                                                         \
    const FLOAT largest = LOAD(y + y_offset + at + k);                                      \
    FLOAT left_over = LOAD(dy + dy_offset + at + k);                                        \
    for (int row = top; row < bottom; ++row)                                                \
      for (int column = left; column < right; ++column) {                                   \
        const long from = input + ((long)row * w + column) * c + k;                         \
        const FLOAT value = LOAD(x + x_offset + from);                                      \
        STORE(dx + from, LOAD(dx + from) + (value == largest ? left_over : (FLOAT)0));      \
        left_over = value == largest ? (FLOAT)0 : left_over;                                \
      }                                                                                     \
  }

ONE_ITEM_A_GROUP
__kernel void max_backward(GEOMETRY, __global const float *restrict x, const long x_offset,
                           __global const float *restrict y, const long y_offset,
                           __global const float *restrict dy, const long dy_offset, __global float *restrict dx) {
  BEGIN_SCATTER;
  for (int i = 0; i < oh; ++i)
    for (int j = 0; j < ow; ++j) {
      WINDOW(i, j);
      const long at = output + ((long)i * ow + j) * c;
      int k = 0;
      CHANNELS_BY(8, width, MAX_TO_WINDOW)
      CHANNELS_BY(4, width, MAX_TO_WINDOW)
      CHANNELS_BY(1, width, MAX_TO_WINDOW)
    }
}

ONE_ITEM_A_GROUP
__kernel void average_backward(GEOMETRY, __global const float *restrict dy, const long dy_offset,
                               __global float *restrict dx) {
  BEGIN_SCATTER;
  for (int i = 0; i < oh; ++i)
    for (int j = 0; j < ow; ++j) {
      WINDOW(i, j);
      const float area = AREA(i, j);
      __global const float *from = dy + dy_offset + output + ((long)i * ow + j) * c;
      for (int row = top; row < bottom; ++row)
        for (int column = left; column < right; ++column) {
          __global float *to = dx + input + ((long)row * w + column) * c;
          for (int k = 0; k < width; ++k) to[k] += from[k] / area;
        }
    }
}

#else

// One output element (image, i, j, k) per turn.
#define FOR_EACH_OUTPUT                                                                           \
  const long count = (long)n * oh * ow * c;                                                       \
  for (long at = get_global_id(0); at < count; at += get_global_size(0))

#define OUTPUT_WINDOW                                                                             \
  const int k = (int)(at % c), j = (int)(at / c % ow), i = (int)(at / c / ow % oh);               \
  __global const float *image = x + x_offset + at / c / ow / oh * h * w * c + k;                  \
  WINDOW(i, j)

__kernel void max_forward(GEOMETRY, const int each, __global const float *restrict x, const long x_offset,
                          __global float *restrict y) {
  FOR_EACH_OUTPUT {
    OUTPUT_WINDOW;
    float largest = image[((long)top * w + left) * c];
    for (int row = top; row < bottom; ++row)
      for (int column = left; column < right; ++column) {
        const float value = image[((long)row * w + column) * c];
        largest = LARGER(largest, value);
      }
    y[at] = largest;
  }
}

__kernel void average_forward(GEOMETRY, const int each, __global const float *restrict x, const long x_offset,
                              __global float *restrict y) {
  FOR_EACH_OUTPUT {
    OUTPUT_WINDOW;
    float total = 0;
    for (int row = top; row < bottom; ++row)
      for (int column = left; column < right; ++column) total += image[((long)row * w + column) * c];
    y[at] = total / AREA(i, j);
  }
}

// One input element (image, row, column, k) per turn, and the windows that cover it.
#define FOR_EACH_INPUT                                                                                       \
  const long count = (long)n * h * w * c;                                                                    \
  for (long at = get_global_id(0); at < count; at += get_global_size(0))

#define COVERING_WINDOWS                                                                                     \
  const int k = (int)(at % c), column = (int)(at / c % w), row = (int)(at / c / w % h);                      \
  const long image = at / c / w / h;                                                                         \
  const int first_i = row + ph < kh ? 0 : (row + ph - kh) / sh + 1, end_i = min((row + ph) / sh + 1, oh);    \
  const int first_j = column + pw < kw ? 0 : (column + pw - kw) / sw + 1, end_j = min((column + pw) / sw + 1, ow)

// Whether no earlier element of the window holds the maximum as well.
int is_first(__global const float *image, const int top, const int left, const int right, const int row,
             const int column, const int w, const int c, const float largest) {
  for (int r = top; r <= row; ++r)
    for (int s = left; s < (r == row ? column : right); ++s)
      if (image[((long)r * w + s) * c] == largest) return 0;
  return 1;
}

__kernel void max_backward(GEOMETRY, __global const float *restrict x, const long x_offset,
                           __global const float *restrict y, const long y_offset,
                           __global const float *restrict dy, const long dy_offset, __global float *restrict dx) {
  FOR_EACH_INPUT {
    COVERING_WINDOWS;
    __global const float *from = x + x_offset + image * h * w * c + k;
    const float mine = x[x_offset + at];
    float total = 0;
    for (int i = first_i; i < end_i; ++i)
      for (int j = first_j; j < end_j; ++j) {
        const long output = ((image * oh + i) * ow + j) * c + k;
        if (mine != y[y_offset + output]) continue;
        WINDOW(i, j);
        if (is_first(from, top, left, right, row, column, w, c, mine)) total += dy[dy_offset + output];
      }
    dx[at] = total;
  }
}

__kernel void average_backward(GEOMETRY, __global const float *restrict dy, const long dy_offset,
                               __global float *restrict dx) {
  FOR_EACH_INPUT {
    COVERING_WINDOWS;
    float total = 0;
    for (int i = first_i; i < end_i; ++i)
      for (int j = first_j; j < end_j; ++j)
        total += dy[dy_offset + ((image * oh + i) * ow + j) * c + k] / AREA(i, j);
    dx[at] = total;
  }
}

#endif
