// Variance on a GPU, in one pass through memory. See reduction_gpu.h for how groups share the work.
//
// An item takes up to 16 elements at a time, in registers: their mean, their squared distances from it, and a merge with what
// it has. Items, and groups, merge in a tree. See variance.h for the rule.
//
//   var_groups  leaves the variances or, where a second launch merges the chunks, their means and, behind all of these, their
//               M2
#include "reduction_gpu.h"
#include "variance.h"

#define AT_ONCE (LANES == 4 ? 1 : 4)  // chunks' results that an item has on their way: registers are short

#define TAKE(k, v)                                                                                       \
  {                                                                                                      \
    const T_ACC one = (T_ACC)(v) - pivots[k];                                                            \
    SHARES(taken, 1)                                                                                     \
    MERGE(means[k], squares[k], one, one - one) /* NaN for an infinity */                                \
  }
#define TAKE_FOUR(k, p, q, r, s)                                                                         \
  {                                                                                                      \
    const T_ACC p_ = (T_ACC)(p) - pivots[k], q_ = (T_ACC)(q) - pivots[k], r_ = (T_ACC)(r) - pivots[k],   \
                s_ = (T_ACC)(s) - pivots[k];                                                             \
    const T_ACC middle = ((p_ + q_) + (r_ + s_)) / 4;                                                    \
    SHARES(taken, 4)                                                                                     \
    MERGE(means[k], squares[k], middle, (SQUARE(p_) + SQUARE(q_)) + (SQUARE(r_) + SQUARE(s_)))           \
  }
#define SQUARE(v) (((v) - middle) * ((v) - middle))
#define FOUR(v) ((T_ACC4)((T_ACC)v.s0, (T_ACC)v.s1, (T_ACC)v.s2, (T_ACC)v.s3) - pivots[0])
#define T_ACC4 JOIN(T_ACC, 4)

#define TAKE_VECTOR(v, at) TAKE_FOUR(0, v.s0, v.s1, v.s2, v.s3)
#define TAKE_FOUR_VECTORS(at, next)                                                                      \
  {                                                                                                      \
    const T_ACC4 a_ = FOUR(a), b_ = FOUR(b), c_ = FOUR(c), d_ = FOUR(d), sums = (a_ + b_) + (c_ + d_);   \
    const T_ACC middle = ((sums.s0 + sums.s1) + (sums.s2 + sums.s3)) / 16;                               \
    const T_ACC4 parts_ = (SQUARE(a_) + SQUARE(b_)) + (SQUARE(c_) + SQUARE(d_));                         \
    SHARES(taken, 16)                                                                                    \
    MERGE(means[0], squares[0], middle, (parts_.s0 + parts_.s1) + (parts_.s2 + parts_.s3))               \
  }
#define TAKE_FOUR_LANES(k, lane) TAKE_FOUR(k, a lane, b lane, c lane, d lane)
#define TAKE_LANE(k, lane) TAKE(k, a lane)
#define TOOK(n) taken += n;

// What all shares have, in the first one's.
#define MEET                                                                                             \
  all_taken[item] = taken;                                                                               \
  FOR_LANES {                                                                                            \
    all_means[k * GROUP + item] = means[k];                                                              \
    all_squares[k * GROUP + item] = squares[k];                                                          \
  }                                                                                                      \
  HALVES {                                                                                               \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                        \
    const int theirs = item + half_ * next;                                                              \
    if (share < half_ && all_taken[theirs] > 0) {                                                        \
      const T_ACC more = all_taken[theirs];                                                              \
      SHARES(taken, more)                                                                                \
      FOR_LANES {                                                                                        \
        MERGE(means[k], squares[k], all_means[k * GROUP + theirs], all_squares[k * GROUP + theirs])      \
        all_means[k * GROUP + item] = means[k];                                                          \
        all_squares[k * GROUP + item] = squares[k];                                                      \
      }                                                                                                  \
      taken += more;                                                                                     \
      all_taken[item] = taken;                                                                           \
    }                                                                                                    \
  }

__kernel void var_groups(MEMORY(T_ACC) PARTS_ARGUMENTS(T_ACC), GROUP_ARGUMENTS, const T_ACC divisor) {
  UNPACK_PARTS
  __local T_ACC all_means[LANES * GROUP], all_squares[LANES * GROUP], all_taken[GROUP];
  BEGIN_GROUP
  T_ACC means[LANES], squares[LANES], pivots[LANES], taken = 0;
  FOR_LANES means[k] = squares[k] = 0;
  if (o < kept_count && begin < end) {
    FIND(kept_offset, o, kept, KEPT_NDIM)
    FIND(second, min(1l, reduced_count - 1), reduced, REDUCED_NDIM)
    FIND(third, min(2l, reduced_count - 1), reduced, REDUCED_NDIM)
    __global const T_IN *base = x + x_offset + kept_offset;
    FOR_LANES pivots[k] = MEDIAN((T_ACC)base[k], (T_ACC)base[second + k], (T_ACC)base[third + k]);
    TAKE_ALL
  }
  MEET
#if LAST_FINISHES
  const int chunks = get_num_groups(1);
  if (share == 0 && o < kept_count) {
    FOR_LANES {
      const long at = parts_offset + get_group_id(1) * kept_count + o + k;
      parts[at] = means[k];
      parts[at + chunks * kept_count] = squares[k];
    }
    SHOW_WRITES
  }
  LAST_GROUP_GOES_ON
  taken = 0;
  FOR_LANES means[k] = squares[k] = 0;
  if (o < kept_count)
    for (int c = share; c < chunks; c += AT_ONCE * high) {
      T_ACC middles[AT_ONCE][LANES], more[AT_ONCE][LANES];
      EACH_AT_ONCE FOR_LANES {
        const long at = parts_offset + min(c + j * high, chunks - 1) * kept_count + o + k;
        middles[j][k] = parts[at];
        more[j][k] = parts[at + chunks * kept_count];
      }
      EACH_AT_ONCE if (c + j * high < chunks) {
        const long count = min(chunk, reduced_count - (c + j * high) * chunk);
        SHARES(taken, count)
        FOR_LANES MERGE(means[k], squares[k], middles[j][k], more[j][k])
        taken += count;
      }
    }
  MEET
#endif
  if (share == 0 && o < kept_count) {
    if (LAST_FINISHES || get_num_groups(1) == 1) {
      FOR_LANES out[out_offset + o + k] = squares[k] / divisor;
    } else {
      const long at = out_offset + get_group_id(1) * kept_count + o;
      FOR_LANES out[at + k] = means[k];
      FOR_LANES out[at + get_num_groups(1) * kept_count + k] = squares[k];
    }
  }
}
