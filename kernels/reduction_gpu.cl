// Reductions on a GPU. See reduction.h for the defines and for what is reduced, reduction_gpu.h for how groups share it.
//   groups  sums, products and extremes · arg_groups  argmax, which writes indices within the reduced part
// -D LAST_FINISHES 1: in `parts` arg_groups has the indices, and behind all of them the elements
// -D WEIGHTED 1: element i of the reduced part is multiplied by weights[i · weight_step]: a matrix by a vector
#include "reduction_gpu.h"

#define TAKE_FOUR_VECTORS(at, next) \
  TAKE_VECTOR(a, at) TAKE_VECTOR(b, (at) + (next)) TAKE_VECTOR(c, (at) + 2 * (next)) TAKE_VECTOR(d, (at) + 3 * (next))
#define TOOK(n)

#ifdef COMBINE

#define AT_ONCE 4  // chunks' results that an item has on their way
#define TAKE(k, v)                                                                                       \
  {                                                                                                      \
    const T_ACC one = (T_ACC)(v);                                                                        \
    totals[k] = COMBINE(totals[k], one);                                                                 \
  }
#define TAKE_FOUR(k, p, q, r, s)                                                                         \
  {                                                                                                      \
    const T_ACC p_ = (T_ACC)(p), q_ = (T_ACC)(q), r_ = (T_ACC)(r), s_ = (T_ACC)(s);                      \
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
        const T_ACC other = shared[k * GROUP + item + half_ * next];                                     \
        totals[k] = COMBINE(totals[k], other);                                                           \
        shared[k * GROUP + item] = totals[k];                                                            \
      }                                                                                                  \
  }

__kernel void groups(MEMORY(T_ACC) WEIGHT_ARGUMENTS PARTS_ARGUMENTS(T_ACC), GROUP_ARGUMENTS,
                     const T_ACC divisor WEIGHT_STEP_ARGUMENT) {
  UNPACK_PARTS
  __local T_ACC shared[LANES * GROUP];
  BEGIN_GROUP
  T_ACC totals[LANES];
  FOR_LANES totals[k] = IDENTITY;
  if (o < kept_count) {
    FIND(kept_offset, o, kept, KEPT_NDIM)
    __global const T_IN *base = x + x_offset + kept_offset;
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

#define AT_ONCE (LANES == 4 ? 2 : 4)  // as above; more registers would leave room for fewer groups
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
        const T_IN other = shared[theirs];                                                               \
        const INDEX place = places[theirs];                                                              \
        if (BETTER(other, values[k]) || (!(BETTER(values[k], other)) && place < indices[k])) {           \
          shared[mine] = values[k] = other;                                                              \
          places[mine] = indices[k] = place;                                                             \
        }                                                                                                \
      }                                                                                                  \
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
#endif
