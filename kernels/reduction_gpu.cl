// Reductions on a GPU. See reduction.h for the defines and for what is reduced.
//
// A group has GROUP work-items: `high` of them share a chunk of LANES neighbouring outputs and meet in a tree, `wide` such
// outputs lie side by side. Neighbouring items read neighbouring elements, along the reduced axes (-D ALONG 1: local size
// (high, wide), LANES 1) or along the kept ones (ALONG 0: local size (wide, high)). Global size in groups (blocks of
// `wide`, chunks).
//   groups  sums, products and extremes · arg_groups  argmax, which writes indices within the reduced part
//   arg_chunks  chooses among the chunks' indices, an item per output
// -D KEPT_NDIM, REDUCED_NDIM: axes of the parts, so that their sizes stay in registers
// -D LAST_FINISHES 1: chunks go to `parts` (for argmax indices, and behind all of them the elements), and the last group
//    that comes to a block of outputs reduces them, in their order; `counters` has a 0 for each block, before and after. Where groups cannot see each other's writes (0), a second
//    launch does it.
// -D CENTRED 1: squared distances from centre[o] are accumulated instead of values
// -D WEIGHTED 1: element i of the reduced part is multiplied by weights[i · weight_step]: a matrix by a vector
#include "reduction.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define UNROLL _Pragma("unroll")
#define SHARE (1 - ALONG)

// const long offset: of place `at` of a part. See position() in reduction.h.
#define FIND(offset, at, name, ndim)                                                                     \
  long offset = 0;                                                                                       \
  {                                                                                                      \
    INDEX rest = (INDEX)(at);                                                                            \
    UNROLL                                                                                               \
    for (int axis = (ndim) - 1; axis > 0; --axis) {                                                      \
      offset += (long)(rest % (INDEX)name##_extent[axis]) * name##_step[axis];                           \
      rest /= (INDEX)name##_extent[axis];                                                                \
    }                                                                                                    \
    offset += (long)rest * name##_step[0];                                                               \
  }

#if LAST_FINISHES
#define PARTS_ARGUMENTS(T) , volatile __global T *parts, const long parts_offset, volatile __global uint *counters
#else
#define PARTS_ARGUMENTS(T)
#endif
#define GROUP_ARGUMENTS const long chunk, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)

#define BEGIN_GROUP                                                                                      \
  const int share = get_local_id(SHARE), high = get_local_size(SHARE);                                   \
  const int item = get_local_id(1) * get_local_size(0) + get_local_id(0), next = ALONG ? 1 : get_local_size(0); \
  const long o = (get_group_id(0) * (long)get_local_size(1 - SHARE) + get_local_id(1 - SHARE)) * LANES;  \
  const long begin = get_group_id(1) * chunk;                                                            \
  const long end = min(begin + chunk, reduced_count);                                                    \
  const long length = reduced_extent[REDUCED_NDIM - 1], step = reduced_step[REDUCED_NDIM - 1];

// From begin to end in runs along the last reduced axis: elements r … r + run of them begin at `from`.
#define EACH_RUN                                                                                         \
  long run;                                                                                              \
  for (long r = begin; r < end; r += run)
#define BEGIN_RUN                                                                                        \
  run = REDUCED_NDIM == 1 ? end - r : min(length - (long)((INDEX)r % (INDEX)length), end - r);           \
  FIND(run_offset, r, reduced, REDUCED_NDIM)                                                             \
  __global const T_IN *from = base + run_offset;

// An item's neighbouring outputs are loaded as one vector where that is aligned; the same for all items.
#if LANES == 4
#define T_LANES JOIN(T_IN, 4)
#define EACH_LANE(F) F(0, .s0) F(1, .s1) F(2, .s2) F(3, .s3)
#define LOAD(p) (aligned ? *(__global const T_LANES *)(p) : (T_LANES)((p)[0], (p)[1], (p)[2], (p)[3]))
#else
#define T_LANES T_IN
#define EACH_LANE(F) F(0, )
#define LOAD(p) (*(p))
#endif
#define FOR_LANES                                                                                        \
  UNROLL                                                                                                 \
  for (int k = 0; k < LANES; ++k)

// What an item takes of its chunk, by TAKE_VECTOR(v, at), TAKE_LANE and TAKE_FOUR_LANES(k, lane), which follow. Several loads
// are under way at a time: one alone would wait for memory most of the time.
#if ALONG
#define TAKE_VECTORS                                                                                     \
  if (step == 1 && (ulong)from / sizeof(T_IN) % 4 == 0) {                                                \
    __global const JOIN(T_IN, 4) *vectors = (__global const JOIN(T_IN, 4) *)from;                        \
    const long count = run / 4;                                                                          \
    for (; i + 3 * high < count; i += 4 * high) {                                                        \
      const JOIN(T_IN, 4) a = vectors[i], b = vectors[i + high], c = vectors[i + 2 * high], d = vectors[i + 3 * high]; \
      const long at = r + i * 4;                                                                         \
      TAKE_VECTOR(a, at) TAKE_VECTOR(b, at + 4 * high) TAKE_VECTOR(c, at + 8 * high) TAKE_VECTOR(d, at + 12 * high) \
    }                                                                                                    \
    for (; i < count; i += high) {                                                                       \
      const JOIN(T_IN, 4) a = vectors[i];                                                                \
      TAKE_VECTOR(a, r + i * 4)                                                                          \
    }                                                                                                    \
    i = count * 4 + share;                                                                               \
  }
#else
#define TAKE_VECTORS
#endif
#define TAKE_ALL                                                                                         \
  EACH_RUN {                                                                                             \
    BEGIN_RUN                                                                                            \
    long i = share;                                                                                      \
    TAKE_VECTORS                                                                                         \
    for (; i + 3 * high < run; i += 4 * high) {                                                          \
      __global const T_IN *p = from + i * step;                                                          \
      const T_LANES a = LOAD(p), b = LOAD(p + high * step), c = LOAD(p + 2 * high * step), d = LOAD(p + 3 * high * step); \
      EACH_LANE(TAKE_FOUR_LANES)                                                                         \
    }                                                                                                    \
    for (; i < run; i += high) {                                                                         \
      const T_LANES a = LOAD(from + i * step);                                                           \
      EACH_LANE(TAKE_LANE)                                                                               \
    }                                                                                                    \
  }

#define HALVES for (int half_ = high / 2; half_ > 0; half_ /= 2)

#if LAST_FINISHES
// What the items of a group have written is seen by other groups, if they look after this.
#ifdef __NV_CL_C_VERSION
#define SHOW_WRITES asm volatile("membar.gl;" ::: "memory");
#else
#define SHOW_WRITES mem_fence(CLK_GLOBAL_MEM_FENCE);
#endif
// After a group has written its chunk's results: only the last group of a block of outputs goes on.
#define LAST_GROUP_GOES_ON                                                                               \
  __local int is_last;                                                                                   \
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);                                                   \
  if (item == 0) {                                                                                       \
    is_last = atomic_inc(counters + get_group_id(0)) + 1 == get_num_groups(1);                           \
    if (is_last) counters[get_group_id(0)] = 0;                                                          \
    SHOW_WRITES                                                                                          \
  }                                                                                                      \
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);                                                   \
  if (!is_last) return;
#define CHUNK_OF_OUT 0
// Chunks' results that an item has on their way; more registers would leave room for fewer groups.
#ifdef COMBINE
#define AT_ONCE 4
#else
#define AT_ONCE (LANES == 4 ? 1 : 4)
#endif
#define EACH_AT_ONCE                                                                                     \
  UNROLL                                                                                                 \
  for (int j = 0; j < AT_ONCE; ++j)
#else
#define CHUNK_OF_OUT get_group_id(1)
#endif

#ifdef COMBINE

#if CENTRED
#define CENTRE_ARGUMENT , __global const T_ACC *restrict centre, const long centre_offset
#define CENTRE(o) const T_ACC middle = centre[centre_offset + (o)];
#define VALUE(v) (((v) - middle) * ((v) - middle))
#else
#define CENTRE_ARGUMENT
#define CENTRE(o) const T_ACC middle = 0;
#define VALUE(v) (v)
#endif
#define TAKE(k, v)                                                                                       \
  {                                                                                                      \
    const T_ACC middle = middles[k], one = VALUE((T_ACC)(v));                                            \
    totals[k] = COMBINE(totals[k], one);                                                                 \
  }
#define TAKE_FOUR(k, p, q, r, s)                                                                         \
  {                                                                                                      \
    const T_ACC middle = middles[k];                                                                     \
    const T_ACC p_ = VALUE((T_ACC)(p)), q_ = VALUE((T_ACC)(q)), r_ = VALUE((T_ACC)(r)), s_ = VALUE((T_ACC)(s)); \
    const T_ACC pq = COMBINE(p_, q_), rs = COMBINE(r_, s_);                                              \
    const T_ACC four = COMBINE(pq, rs);                                                                  \
    totals[k] = COMBINE(totals[k], four);                                                                \
  }
#if WEIGHTED
#define WEIGHT_ARGUMENTS , __global const T_IN *restrict weights, const long weights_offset
#define WEIGHT_STEP_ARGUMENT , const long weight_step
#define WEIGH(v, at) ((v) * weights[weights_offset + (at) * weight_step])
#define WEIGH_VECTOR(v, at)                                                                              \
  ((v) * (whole_weights ? *(__global const JOIN(T_IN, 4) *)(weights + weights_offset + (at))             \
                        : (JOIN(T_IN, 4))(WEIGH(1, at), WEIGH(1, (at) + 1), WEIGH(1, (at) + 2), WEIGH(1, (at) + 3))))
#else
#define WEIGHT_ARGUMENTS
#define WEIGHT_STEP_ARGUMENT
#define WEIGH(v, at) (v)
#define WEIGH_VECTOR(v, at) (v)
#endif
#define TAKE_VECTOR(v, at)                                                                               \
  {                                                                                                      \
    const JOIN(T_IN, 4) four_ = WEIGH_VECTOR(v, at);                                                     \
    TAKE_FOUR(0, four_.s0, four_.s1, four_.s2, four_.s3)                                                 \
  }
#define TAKE_LANE(k, lane) TAKE(k, WEIGH(a lane, r + i))
#define TAKE_FOUR_LANES(k, lane)                                                                         \
  TAKE_FOUR(k, WEIGH(a lane, r + i), WEIGH(b lane, r + i + high), WEIGH(c lane, r + i + 2 * high),       \
            WEIGH(d lane, r + i + 3 * high))

// The totals of all shares, in the first one's.
#define MEET                                                                                             \
  FOR_LANES shared[k * GROUP + item] = totals[k];                                                        \
  HALVES {                                                                                               \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                        \
    if (share < half_) FOR_LANES {                                                                       \
        const T_ACC mine = shared[k * GROUP + item], other = shared[k * GROUP + item + half_ * next];    \
        shared[k * GROUP + item] = COMBINE(mine, other);                                                 \
      }                                                                                                  \
  }                                                                                                      \
  FOR_LANES totals[k] = shared[k * GROUP + item];

__kernel void groups(MEMORY(T_ACC) CENTRE_ARGUMENT WEIGHT_ARGUMENTS PARTS_ARGUMENTS(T_ACC), GROUP_ARGUMENTS,
                     const T_ACC divisor WEIGHT_STEP_ARGUMENT) {
  UNPACK_PARTS
  __local T_ACC shared[LANES * GROUP];
  BEGIN_GROUP
  T_ACC totals[LANES], middles[LANES];
  FOR_LANES totals[k] = IDENTITY;
  if (o < kept_count) {
    FIND(kept_offset, o, kept, KEPT_NDIM)
    __global const T_IN *base = x + x_offset + kept_offset;
    FOR_LANES {
      CENTRE(o + k)
      middles[k] = middle;
    }
    const int aligned = x_offset % 4 == 0;
#if WEIGHTED
    const int whole_weights = weight_step == 1 && (weights_offset + begin) % 4 == 0;
#endif
    TAKE_ALL
  }
  MEET
#if LAST_FINISHES
  const int chunks = get_num_groups(1);
  if (share == 0 && o < kept_count) {
    FOR_LANES parts[parts_offset + get_group_id(1) * kept_count + o + k] = totals[k];
    SHOW_WRITES
  }
  LAST_GROUP_GOES_ON
  FOR_LANES totals[k] = IDENTITY;
  if (o < kept_count)
    for (int c = share; c < chunks; c += AT_ONCE * high) {
      T_ACC others[AT_ONCE][LANES];
      EACH_AT_ONCE FOR_LANES {
        const int chunk_ = c + j * high;
        others[j][k] = chunk_ < chunks ? parts[parts_offset + chunk_ * kept_count + o + k] : IDENTITY;
      }
      EACH_AT_ONCE FOR_LANES totals[k] = COMBINE(totals[k], others[j][k]);
    }
  MEET
#endif
  if (share == 0 && o < kept_count) FOR_LANES out[out_offset + CHUNK_OF_OUT * kept_count + o + k] = totals[k] FINISH;
}

#else

// In the order of the elements, so that the first one of equals stays.
#define TAKE(k, v, at)                                                                                   \
  {                                                                                                      \
    const T_IN other = v;                                                                                \
    if (BETTER(other, values[k])) {                                                                      \
      values[k] = other;                                                                                 \
      indices[k] = (INDEX)(at);                                                                          \
    }                                                                                                    \
  }
#define TAKE_VECTOR(v, at) TAKE(0, v.s0, at) TAKE(0, v.s1, (at) + 1) TAKE(0, v.s2, (at) + 2) TAKE(0, v.s3, (at) + 3)
#define TAKE_LANE(k, lane) TAKE(k, a lane, r + i)
#define TAKE_FOUR_LANES(k, lane)                                                                         \
  TAKE(k, a lane, r + i) TAKE(k, b lane, r + i + high) TAKE(k, c lane, r + i + 2 * high) TAKE(k, d lane, r + i + 3 * high)

#define MEET                                                                                             \
  FOR_LANES {                                                                                            \
    shared[k * GROUP + item] = values[k];                                                                \
    places[k * GROUP + item] = indices[k];                                                               \
  }                                                                                                      \
  HALVES {                                                                                               \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                        \
    if (share < half_) FOR_LANES {                                                                       \
        const int mine = k * GROUP + item, theirs = mine + half_ * next;                                 \
        const T_IN value = shared[mine], other = shared[theirs];                                         \
        if (BETTER(other, value) || (!(BETTER(value, other)) && places[theirs] < places[mine])) {        \
          shared[mine] = other;                                                                          \
          places[mine] = places[theirs];                                                                 \
        }                                                                                                \
      }                                                                                                  \
  }                                                                                                      \
  FOR_LANES {                                                                                            \
    values[k] = shared[k * GROUP + item];                                                                \
    indices[k] = places[k * GROUP + item];                                                               \
  }

__kernel void arg_groups(MEMORY(long) PARTS_ARGUMENTS(long), GROUP_ARGUMENTS) {
  UNPACK_PARTS
  __local T_IN shared[LANES * GROUP];
  __local INDEX places[LANES * GROUP];
  BEGIN_GROUP
  // Items beyond the outputs look at the first one; items beyond the chunk at its first element, which beats nothing.
  FIND(kept_offset, o < kept_count ? o : 0, kept, KEPT_NDIM)
  FIND(first_offset, begin, reduced, REDUCED_NDIM)
  __global const T_IN *base = x + x_offset + kept_offset;
  T_IN values[LANES];
  INDEX indices[LANES];
  FOR_LANES {
    values[k] = base[first_offset + k];
    indices[k] = (INDEX)begin;
  }
  const int aligned = x_offset % 4 == 0;
  TAKE_ALL
  MEET
#if LAST_FINISHES
  const int chunks = get_num_groups(1);
  volatile __global T_IN *part_values = (volatile __global T_IN *)(parts + parts_offset + chunks * kept_count);
  const long at_output = o < kept_count ? o : 0;
  if (share == 0 && o < kept_count) {
    FOR_LANES {
      const long at = get_group_id(1) * kept_count + o + k;
      parts[parts_offset + at] = indices[k];
      part_values[at] = values[k];
    }
    SHOW_WRITES
  }
  LAST_GROUP_GOES_ON
  // What is past the end looks at the last chunk again, which beats nothing.
  for (int c = share, first = 1; c < chunks || first; c += AT_ONCE * high, first = 0) {
    INDEX found[AT_ONCE][LANES];
    T_IN others[AT_ONCE][LANES];
    EACH_AT_ONCE FOR_LANES {
      const long at = at_output + min(c + j * high, chunks - 1) * kept_count + k;
      found[j][k] = (INDEX)parts[parts_offset + at];
      others[j][k] = part_values[at];
    }
    EACH_AT_ONCE FOR_LANES if ((first && j == 0) || BETTER(others[j][k], values[k])) {
      values[k] = others[j][k];
      indices[k] = found[j][k];
    }
  }
  MEET
#endif
  if (share == 0 && o < kept_count) FOR_LANES out[out_offset + CHUNK_OF_OUT * kept_count + o + k] = indices[k];
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
