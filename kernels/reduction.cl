// Reductions of an array x seen as [kept, reduced]: each part has up to eight axes with strides of their own.
//
// Defines: T_IN the elements of x · T_ACC what is accumulated and written · COMBINE(p, q) · IDENTITY · CPU
//
// The reduced part is cut into get_global_size/num_groups(1) chunks, so that few outputs still fill a device; chunk s of
// output o goes to out[s * kept_count + o], and a second launch reduces the chunks. No atomics: the order of additions,
// and so every bit of the result, depends on the shape and the device alone.
//
// rows     CPU, global (blocks of outputs, chunks): an item walks along the reduced axes, sixteen sums side by side.
// columns  CPU, global (blocks of 64 outputs with stride 1, chunks): the inner loop runs over the outputs.
// groups   GPU, local (LX, LY): LX outputs side by side, LY items share each one's chunk and meet in a tree.
// argmax   CPU: an item per output; GPU: a group per output. Writes the index within the reduced part.
#include "common.h"

#define PART_ARGUMENTS(name) \
  const int8 name##_shape, const int8 name##_strides, const int name##_ndim, const long name##_count

// Offset, in elements, of place `at` of a part.
long position(long at, const int ndim, const int8 shape, const int8 strides) {
  int extent[8], step[8];
  vstore8(shape, 0, extent);
  vstore8(strides, 0, step);
  if (ndim == 1) return at * step[0];
  long offset = 0;
  for (int axis = ndim - 1; axis >= 0; --axis) {
    offset += (at % extent[axis]) * step[axis];
    at /= extent[axis];
  }
  return offset;
}

#define POSITION(name, at) position(at, name##_ndim, name##_shape, name##_strides)

int last_of(const int8 values, const int ndim) {
  int all[8];
  vstore8(values, 0, all);
  return all[ndim - 1];
}

#define LANES 16
#define WIDTH 64

#ifdef COMBINE
#if CPU

ONE_ITEM_A_GROUP
__kernel void rows(PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced), const long chunk, const int each,
                   __global const T_IN *restrict x, const long x_offset, __global T_ACC *restrict out,
                   const float divisor) {
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  const long length = last_of(reduced_shape, reduced_ndim);
  const long stride = last_of(reduced_strides, reduced_ndim);
  for (long o = get_global_id(0) * (long)each; o < last; ++o) {
    const long base = x_offset + POSITION(kept, o);
    T_ACC lanes[LANES];
    for (int j = 0; j < LANES; ++j) lanes[j] = IDENTITY;
    T_ACC total = IDENTITY;
    for (long r = begin; r < end;) {
      const long run = min(length - r % length, end - r);  // elements that lie along the last reduced axis
      __global const T_IN *from = x + base + POSITION(reduced, r);
      long i = 0;
      if (stride == 1)
        for (; i + LANES <= run; i += LANES)
          for (int j = 0; j < LANES; ++j) {
            const T_ACC value = (T_ACC)from[i + j];
            lanes[j] = COMBINE(lanes[j], value);
          }
      for (; i < run; ++i) {
        const T_ACC value = (T_ACC)from[i * stride];
        total = COMBINE(total, value);
      }
      r += run;
    }
    for (int j = 0; j < LANES; ++j) total = COMBINE(total, lanes[j]);
    out[get_global_id(1) * kept_count + o] = total FINISH;
  }
}

ONE_ITEM_A_GROUP
__kernel void columns(PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced), const long chunk, const int each,
                      __global const T_IN *restrict x, const long x_offset, __global T_ACC *restrict out,
                      const float divisor) {
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long across = last_of(kept_shape, kept_ndim);
  const long blocks = (across + WIDTH - 1) / WIDTH;
  const long first = get_global_id(0) % blocks * WIDTH;
  const int width = (int)min((long)WIDTH, across - first);
  const long o = get_global_id(0) / blocks * across + first;
  __global const T_IN *from = x + x_offset + POSITION(kept, o);
  T_ACC totals[WIDTH];
  for (int j = 0; j < WIDTH; ++j) totals[j] = IDENTITY;
  for (long r = begin; r < end; ++r) {
    __global const T_IN *row = from + POSITION(reduced, r);
    for (int j = 0; j < width; ++j) {
      const T_ACC value = (T_ACC)row[j];
      totals[j] = COMBINE(totals[j], value);
    }
  }
  for (int j = 0; j < width; ++j) out[get_global_id(1) * kept_count + o + j] = totals[j] FINISH;
}

#else

__kernel void groups(PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced), const long chunk,
                     __global const T_IN *restrict x, const long x_offset, __global T_ACC *restrict out,
                     const float divisor, __local T_ACC *shared) {
  const int lx = get_local_id(0), ly = get_local_id(1);
  const int wide = get_local_size(0), high = get_local_size(1);
  const long o = get_global_id(0);
  const long begin = get_group_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  T_ACC total = IDENTITY;
  if (o < kept_count) {
    __global const T_IN *from = x + x_offset + POSITION(kept, o);
    long r = begin + ly;
    if (reduced_ndim == 1) {
      // Four loads under way at a time: one alone would wait for memory most of the time.
      const long step = last_of(reduced_strides, 1);
      for (; r + 3 * high < end; r += 4 * high) {
        const T_ACC a = (T_ACC)from[r * step], b = (T_ACC)from[(r + high) * step];
        const T_ACC c = (T_ACC)from[(r + 2 * high) * step], d = (T_ACC)from[(r + 3 * high) * step];
        const T_ACC ab = COMBINE(a, b), cd = COMBINE(c, d);
        const T_ACC all = COMBINE(ab, cd);
        total = COMBINE(total, all);
      }
    }
    for (; r < end; r += high) {
      const T_ACC value = (T_ACC)from[POSITION(reduced, r)];
      total = COMBINE(total, value);
    }
  }
  shared[ly * wide + lx] = total;
  for (int half_ = high / 2; half_ > 0; half_ /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (ly < half_) {
      const T_ACC mine = shared[ly * wide + lx], other = shared[(ly + half_) * wide + lx];
      shared[ly * wide + lx] = COMBINE(mine, other);
    }
  }
  if (ly == 0 && o < kept_count) out[get_group_id(1) * kept_count + o] = shared[lx] FINISH;
}

#endif
#else

// NaN counts as largest, and of equal values the first one.
__kernel void argmax(PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced), __global const T_IN *restrict x,
                     const long x_offset, __global long *restrict out
#if !CPU
                     , __local T_IN *values, __local int *indices
#endif
) {
#if CPU
  const long o = get_global_id(0);
  const int first = 0, step = 1;
#else
  const long o = get_group_id(0);
  const int first = get_local_id(0), step = get_local_size(0);
#endif
  const long base = x_offset + POSITION(kept, o);
  // Items beyond the row begin with the first element, which never beats itself.
  int best = first < reduced_count ? first : 0;
  T_IN value = x[base + POSITION(reduced, best)];
  for (long r = first + step; r < reduced_count; r += step) {
    const T_IN other = x[base + POSITION(reduced, r)];
    if (other > value || (other != other && value == value)) {
      value = other;
      best = (int)r;
    }
  }
#if !CPU
  values[first] = value;
  indices[first] = best;
  for (int half_ = step / 2; half_ > 0; half_ /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (first < half_) {
      const T_IN other = values[first + half_];
      const int index = indices[first + half_];
      const T_IN mine = values[first];
      const int same = other == mine || (other != other && mine != mine);
      if (other > mine || (other != other && mine == mine) || (same && index < indices[first])) {
        values[first] = other;
        indices[first] = index;
      }
    }
  }
  if (first == 0) out[o] = indices[0];
#else
  out[o] = best;
#endif
}

#endif
