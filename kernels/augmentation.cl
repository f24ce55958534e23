// Images cut, mirrored and resized sample by sample: the boxes to cut, and what lies in them; the same bits as
// nn/layers/boxes.py, but for what exp() makes of boxes of random shapes.
//
// A box is four floats: the row and the column of the source at which the output's first row and column lie, and the
// distance in the source from one row to the next and from one column to the next. That of columns is negative where
// the image is mirrored. Offsets are in elements.
#include "common.h"
#include "philox.h"

// Four draws from [0, 1), of 24 bits, for a sample in a step.
float4 four_draws(const uint block, const int sample, const int step, const ulong key) {
  const uint4 bits = philox((uint4)(block, (uint)sample, (uint)step, 0u), (uint2)((uint)key, (uint)(key >> 32)));
  return convert_float4(bits >> 8) * 5.9604644775390625e-8f;  // 2^-24
}

// draws: [rows, 4]; samples: [rows], the number of each row's sample.
//   GPU: global size (any,), work-items stride over the rows. CPU: one work-item per `each` rows.
ONE_ITEM_A_GROUP
__kernel void draw_four(const long rows, const long each, __global const int *restrict step_number,
                        __global const int *restrict samples, __global float *restrict draws, const ulong key) {
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, rows), step = 1;
#else
  const long begin = get_global_id(0), end = rows, step = get_global_size(0);
#endif
  for (long row = begin; row < end; row += step)
    vstore4(four_draws(0, samples[row], step_number[0], key), row, draws);
}

// Where `size` pixels begin that are cut out of `from`, and their distance: whole pixels, beyond the border by up to
// `padding`; u in [0, 1) draws the place, or else it is the middle.
float2 whole_pixels(const float u, const float from, const float size, const float padding, const float anywhere) {
  const float room = from + padding + padding - size;
  const float begin = anywhere != 0.0f ? fmin(floor(u * (room + 1.0f)), room) : floor(room / 2.0f);
  return (float2)(begin - padding, 1.0f);
}

// The same for a piece of `length` pixels that becomes `size` pixels; pixel i lies at (i + 1/2) · distance - 1/2.
float2 resized(const float u, const float from, const float length, const float size) {
  const float distance = length / size;
  return (float2)(u * (from - length) + 0.5f * distance - 0.5f, distance);
}

// boxes: [rows, 4]; the sizes are those of draw_four. area, log_ratio: the least, and how much more;
// an area of 0 stands for whole pixels.
ONE_ITEM_A_GROUP
__kernel void draw_boxes(const long rows, const long each, __global const int *restrict step_number,
                         __global const int *restrict samples, __global float *restrict boxes, const ulong key,
                         const float height, const float width, const float out_height, const float out_width,
                         const float padding, const float flip, const float area, const float more_area,
                         const float log_ratio, const float more_ratio, const float anywhere) {
#if CPU
  const long begin = get_global_id(0) * each, end = min(begin + each, rows), step = 1;
#else
  const long begin = get_global_id(0), end = rows, step = get_global_size(0);
#endif
  for (long row = begin; row < end; row += step) {
    const float4 u = four_draws(0, samples[row], step_number[0], key);
    float2 down, right;
    if (area > 0.0f) {
      const float v = four_draws(1, samples[row], step_number[0], key).x;
      const float pixels = height * width * (area + u.w * more_area), ratio = exp(log_ratio + v * more_ratio);
      down = resized(u.x, height, fmin(sqrt(pixels / ratio), height), out_height);
      right = resized(u.y, width, fmin(sqrt(pixels * ratio), width), out_width);
    } else {
      down = whole_pixels(u.x, height, out_height, padding, anywhere);
      right = whole_pixels(u.y, width, out_width, padding, anywhere);
    }
    if (u.z < flip) right = (float2)(right.x + right.y * (out_width - 1.0f), -right.y);
    vstore4((float4)(down.x, right.x, down.y, right.y), row, boxes);
  }
}

// The pixel of `channels` values at (down, right) of an image, between its neighbours; 0 beyond the border.
void pixel(__global const float *restrict image, __global float *restrict y, const float down, const float right,
           const int height, const int width, const int channels) {
  if (down < -0.5f || right < -0.5f || down > height - 0.5f || right > width - 0.5f) {
    for (int c = 0; c < channels; ++c) y[c] = 0.0f;
    return;
  }
  const float top = floor(down), left = floor(right), below = down - top, beside = right - left;
  const long row0 = max((int)top, 0), row1 = min((int)top + 1, height - 1);
  const long column0 = max((int)left, 0), column1 = min((int)left + 1, width - 1);
  __global const float *a = image + (row0 * width + column0) * channels;
  if (below == 0.0f && beside == 0.0f) {
    for (int c = 0; c < channels; ++c) y[c] = a[c];
    return;
  }
  __global const float *b = image + (row0 * width + column1) * channels;
  __global const float *d = image + (row1 * width + column0) * channels;
  __global const float *e = image + (row1 * width + column1) * channels;
  for (int c = 0; c < channels; ++c) {
    const float upper = a[c] * (1.0f - beside) + b[c] * beside, lower = d[c] * (1.0f - beside) + e[c] * beside;
    y[c] = upper * (1.0f - below) + lower * below;
  }
}

// x: [images, height, width, channels]; y: [images, out_height, out_width, channels], rows = images · out_height;
// both contiguous. boxes: [images, 4], or one for all with a stride of 0.
//   GPU: global size (any,), work-items stride over the pixels. CPU: one work-item per `each` rows.
ONE_ITEM_A_GROUP
__kernel void cut_boxes(const long rows, const long each, __global const float *restrict x, const long x_offset,
                        __global const float *restrict boxes, const long boxes_offset, const int boxes_stride,
                        __global float *restrict y, const int height, const int width, const int out_height,
                        const int out_width, const int channels) {
#if CPU
  const long begin = get_global_id(0) * each * out_width, step = 1;
  const long end = min(begin + each * out_width, rows * out_width);
#else
  const long begin = get_global_id(0), end = rows * out_width, step = get_global_size(0);
#endif
  for (long i = begin; i < end; i += step) {
    const long row = i / out_width, image = row / out_height;
    const float column = i % out_width, line = row % out_height;
    const float4 box = vload4(0, boxes + boxes_offset + image * boxes_stride);
    pixel(x + x_offset + image * height * width * channels, y + i * channels, box.x + line * box.z,
          box.y + column * box.w, height, width, channels);
  }
}
