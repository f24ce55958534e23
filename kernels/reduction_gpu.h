// What reduction_gpu.cl and variance_gpu.cl share. See reduction.h for what is reduced.
//
// A group has GROUP work-items: `high` of them share a chunk of LANES neighbouring outputs and meet in a tree, `wide` such
// outputs lie side by side. Neighbouring items read neighbouring elements, along the reduced axes (-D ALONG 1: local size
// (high, wide), LANES 1) or along the kept ones (ALONG 0: local size (wide, high)). Global size in groups (blocks of
// `wide`, chunks).
// -D KEPT_NDIM, REDUCED_NDIM: axes of the parts, so that their sizes stay in registers
// -D LAST_FINISHES 1: what groups make of their chunks goes to `parts`, and the last group that comes to a block of outputs
//    reduces it, in the chunks' order; `counters` has a 0 for each block, before and after. Where groups cannot see each
//    other's writes (0), a second launch does it.
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
#define EACH_RUN for (long r = begin, run; r < end; r += run)
#define BEGIN_RUN                                                                                        \
  run = REDUCED_NDIM == 1 ? end - r : min(length - (long)((INDEX)r % (INDEX)length), end - r);           \
  FIND(run_offset, r, reduced, REDUCED_NDIM)                                                             \
  __global const T_IN *from = base + run_offset;

// An item's neighbouring outputs are loaded as one vector where that is aligned: the same for all items, and asked before the
// loop, in which compilers would put other loads off until the answer.
#if LANES == 4
#define T_LANES JOIN(T_IN, 4)
#define EACH_LANE(F) F(0, .s0) F(1, .s1) F(2, .s2) F(3, .s3)
#define LOAD_WHOLE(p) (*(__global const T_LANES *)(p))
#define LOAD_SINGLY(p) ((T_LANES)((p)[0], (p)[1], (p)[2], (p)[3]))
#define TAKE_ALL                                                                                         \
  if (x_offset % 4 == 0)                                                                                 \
    TAKE_RUNS(LOAD_WHOLE)                                                                                \
  else                                                                                                   \
    TAKE_RUNS(LOAD_SINGLY)
#else
#define T_LANES T_IN
#define EACH_LANE(F) F(0, )
#define LOAD_ONE(p) (*(p))
#define TAKE_ALL TAKE_RUNS(LOAD_ONE)
#endif
#define FOR_LANES                                                                                        \
  UNROLL                                                                                                 \
  for (int k = 0; k < LANES; ++k)

// What an item takes of its chunk, by macros of the includer: TAKE_FOUR_VECTORS(at, next) and TAKE_VECTOR(v, at), of elements
// `at` and on, TAKE_FOUR_LANES(k, lane) and TAKE_LANE(k, lane); TOOK(n) follows, of n elements a lane. Several loads are under
// way at a time: one alone would wait for memory most of the time.
#if ALONG
#define TAKE_VECTORS                                                                                     \
  if (step == 1 && (ulong)from / sizeof(T_IN) % 4 == 0) {                                                \
    __global const JOIN(T_IN, 4) *vectors = (__global const JOIN(T_IN, 4) *)from;                        \
    const long count = run / 4;                                                                          \
    for (; i + 3 * high < count; i += 4 * high) {                                                        \
      const JOIN(T_IN, 4) a = vectors[i], b = vectors[i + high], c = vectors[i + 2 * high], d = vectors[i + 3 * high]; \
      TAKE_FOUR_VECTORS(r + i * 4, 4 * high)                                                             \
      TOOK(16)                                                                                           \
    }                                                                                                    \
    for (; i < count; i += high) {                                                                       \
      const JOIN(T_IN, 4) a = vectors[i];                                                                \
      TAKE_VECTOR(a, r + i * 4)                                                                          \
      TOOK(4)                                                                                            \
    }                                                                                                    \
    i = count * 4 + share;                                                                               \
  }
#else
#define TAKE_VECTORS
#endif
#define TAKE_RUNS(LOAD)                                                                                  \
  EACH_RUN {                                                                                             \
    BEGIN_RUN                                                                                            \
    long i = share;                                                                                      \
    TAKE_VECTORS                                                                                         \
    for (; i + 3 * high < run; i += 4 * high) {                                                          \
      __global const T_IN *p = from + i * step;                                                          \
      const T_LANES a = LOAD(p), b = LOAD(p + high * step), c = LOAD(p + 2 * high * step), d = LOAD(p + 3 * high * step); \
      EACH_LANE(TAKE_FOUR_LANES)                                                                         \
      TOOK(4)                                                                                            \
    }                                                                                                    \
    for (; i < run; i += high) {                                                                         \
      const T_LANES a = LOAD(from + i * step);                                                           \
      EACH_LANE(TAKE_LANE)                                                                               \
      TOOK(1)                                                                                            \
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
#define EACH_AT_ONCE                                                                                     \
  UNROLL                                                                                                 \
  for (int j = 0; j < AT_ONCE; ++j)
#else
#define CHUNK_OF_OUT get_group_id(1)
#endif
