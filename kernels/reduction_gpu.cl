// Reductions on a GPU. See reduction.h for the defines and for what is reduced.
//
// A group has GROUP work-items: `high` of them share an output's chunk and meet in a tree, `wide` outputs lie side by
// side. Neighbouring items read neighbouring elements, along the reduced axes (-D ALONG 1: local size (high, wide)) or
// along the kept ones (ALONG 0: local size (wide, high)). Global size in groups (blocks of `wide` outputs, chunks).
//   groups  sums, products and extremes · arg_groups  argmax, which writes indices within the reduced part
//   arg_chunks  chooses among the chunks' indices, an item per output
#include "reduction.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if ALONG
#define SHARE 0
#else
#define SHARE 1
#endif
#define BEGIN_GROUP                                                                                      \
  const int share = get_local_id(SHARE), high = get_local_size(SHARE);                                   \
  const int item = get_local_id(1) * get_local_size(0) + get_local_id(0), next = ALONG ? 1 : get_local_size(0); \
  const long o = get_group_id(0) * (long)get_local_size(1 - SHARE) + get_local_id(1 - SHARE);            \
  const long begin = get_group_id(1) * chunk;                                                            \
  const long end = min(begin + chunk, reduced_count);                                                    \
  const long length = reduced_extent[reduced_ndim - 1], step = reduced_step[reduced_ndim - 1];

// From begin to end in runs along the last reduced axis: elements r … r + run of them begin at `from`.
#define EACH_RUN                                                                                         \
  long run;                                                                                              \
  for (long r = begin; r < end; r += run)
#define BEGIN_RUN                                                                                        \
  run = reduced_ndim == 1 ? end - r : min(length - r % length, end - r);                                 \
  __global const T_IN *from = base + POSITION(reduced, r);

#ifdef COMBINE
#define ADD_FOUR(v)                                                                                      \
  {                                                                                                      \
    const T_ACC p = VALUE((T_ACC)v.x), q = VALUE((T_ACC)v.y), r = VALUE((T_ACC)v.z), s = VALUE((T_ACC)v.w); \
    const T_ACC pq = COMBINE(p, q), rs = COMBINE(r, s);                                                  \
    const T_ACC all = COMBINE(pq, rs);                                                                   \
    total = COMBINE(total, all);                                                                         \
  }

__kernel void groups(MEMORY(T_ACC) CENTRE_ARGUMENT, const long chunk, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced),
                     const T_ACC divisor) {
  UNPACK_PARTS
  __local T_ACC shared[GROUP];
  BEGIN_GROUP
  T_ACC total = IDENTITY;
  if (o < kept_count) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    CENTRE(o)
    EACH_RUN {
      BEGIN_RUN
      long i = share;
      // Several loads under way at a time: one alone would wait for memory most of the time.
#if ALONG
      if (step == 1 && (ulong)from / sizeof(T_IN) % 4 == 0) {
        __global const JOIN(T_IN, 4) *vectors = (__global const JOIN(T_IN, 4) *)from;
        const long count = run / 4;
        for (; i + 3 * high < count; i += 4 * high) {
          const JOIN(T_IN, 4) a = vectors[i], b = vectors[i + high], c = vectors[i + 2 * high], d = vectors[i + 3 * high];
          ADD_FOUR(a) ADD_FOUR(b) ADD_FOUR(c) ADD_FOUR(d)
        }
        for (; i < count; i += high) {
          const JOIN(T_IN, 4) a = vectors[i];
          ADD_FOUR(a)
        }
        i = count * 4 + share;
      }
#endif
      for (; i + 3 * high < run; i += 4 * high) {
        const T_ACC a = VALUE((T_ACC)from[i * step]), b = VALUE((T_ACC)from[(i + high) * step]);
        const T_ACC c = VALUE((T_ACC)from[(i + 2 * high) * step]), d = VALUE((T_ACC)from[(i + 3 * high) * step]);
        const T_ACC ab = COMBINE(a, b), cd = COMBINE(c, d);
        const T_ACC all = COMBINE(ab, cd);
        total = COMBINE(total, all);
      }
      for (; i < run; i += high) {
        const T_ACC value = VALUE((T_ACC)from[i * step]);
        total = COMBINE(total, value);
      }
    }
  }
  shared[item] = total;
  for (int half_ = high / 2; half_ > 0; half_ /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (share < half_) {
      const T_ACC mine = shared[item], other = shared[item + half_ * next];
      shared[item] = COMBINE(mine, other);
    }
  }
  if (share == 0 && o < kept_count) out[out_offset + get_group_id(1) * kept_count + o] = shared[item] FINISH;
}

#else

__kernel void arg_groups(MEMORY(long), const long chunk, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  __local T_IN values[GROUP];
  __local long indices[GROUP];
  BEGIN_GROUP
  // Items beyond the outputs look at the first one; items beyond the chunk at its first element, which beats nothing.
  __global const T_IN *base = x + x_offset + POSITION(kept, o < kept_count ? o : 0);
  long best = begin;
  T_IN value = base[POSITION(reduced, begin)];
  EACH_RUN {
    BEGIN_RUN
    for (long i = share; i < run; i += high) {
      const T_IN other = from[i * step];
      if (BETTER(other, value)) {
        value = other;
        best = r + i;
      }
    }
  }
  values[item] = value;
  indices[item] = best;
  for (int half_ = high / 2; half_ > 0; half_ /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (share < half_) {
      const T_IN mine = values[item], other = values[item + half_ * next];
      const long index = indices[item + half_ * next];
      if (BETTER(other, mine) || (!(BETTER(mine, other)) && index < indices[item])) {
        values[item] = other;
        indices[item] = index;
      }
    }
  }
  if (share == 0 && o < kept_count) out[out_offset + get_group_id(1) * kept_count + o] = indices[item];
}

// `chosen` has an index for each chunk and output.
__kernel void arg_chunks(MEMORY(long), __global const long *restrict chosen, const long chosen_offset, const int chunks,
                         PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  const long o = get_global_id(0);
  if (o >= kept_count) return;
  __global const T_IN *base = x + x_offset + POSITION(kept, o);
  long best = chosen[chosen_offset + o];
  T_IN value = base[POSITION(reduced, best)];
  for (int s = 1; s < chunks; ++s) {
    const long index = chosen[chosen_offset + s * kept_count + o];
    const T_IN other = base[POSITION(reduced, index)];
    if (BETTER(other, value)) {
      value = other;
      best = index;
    }
  }
  out[out_offset + o] = best;
}
#endif
