// Reductions on a CPU. See reduction.h for the defines and for what is reduced.
//
// Every kernel has global size (blocks of outputs, chunks), one work-item a group.
//   rows     an item walks along the reduced axes, `each` outputs in turn; 32 sums side by side where they are dense.
//   columns  the kept axes end in a dense one: an item has up to WIDTH neighbouring outputs, the inner loop runs over them.
//   arg_rows, arg_columns  the same for argmax; they write indices within the reduced part.
//   arg_chunks  chooses among the chunks' indices, an item per `each` outputs.
#include "reduction.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define WIDTH 1024
#define BLOCK 2048
#define SEARCHED 512
#define VECTORISE _Pragma("clang loop vectorize(assume_safety)")
typedef JOIN(T_IN, 8) vector_in __attribute__((aligned(sizeof(T_IN))));

// Where an item of `columns` and `arg_columns` begins: `width` outputs from o, of which the first is at `from`.
#define BEGIN_COLUMNS                                                                                    \
  const long begin = get_global_id(1) * chunk;                                                           \
  const long end = min(begin + chunk, reduced_count);                                                    \
  const long across = kept_extent[kept_ndim - 1];                                                    \
  const long blocks = (across + each - 1) / each;                                                        \
  const long first = get_global_id(0) % blocks * each;                                                   \
  const int width = (int)min(each, across - first);                                                      \
  const long o = get_global_id(0) / blocks * across + first;                                             \
  __global const T_IN *from = x + x_offset + POSITION(kept, o);

#ifdef COMBINE
typedef JOIN(T_ACC, 8) vector;

// Sums go block by block, so that errors grow with the root of the length at most.
inline T_ACC dense(__global const T_IN *from, const long n, const T_ACC middle) {
  vector total = (vector)(IDENTITY);
  T_ACC rest = IDENTITY;
  long i = 0;
#define LOAD(i) VALUE(__builtin_convertvector(*(__global const vector_in *)(from + (i)), vector))
  while (i + 32 <= n) {
    vector a = (vector)(IDENTITY), b = a, c = a, d = a;
    for (const long end = min(i + BLOCK, n); i + 32 <= end; i += 32) {
      const vector e = LOAD(i), f = LOAD(i + 8), g = LOAD(i + 16), h = LOAD(i + 24);
      a = COMBINE(a, e);
      b = COMBINE(b, f);
      c = COMBINE(c, g);
      d = COMBINE(d, h);
    }
    a = COMBINE(a, b);
    c = COMBINE(c, d);
    a = COMBINE(a, c);
    total = COMBINE(total, a);
  }
  for (; i + 8 <= n; i += 8) {
    const vector e = LOAD(i);
    total = COMBINE(total, e);
  }
  for (; i < n; ++i) {
    const T_ACC value = VALUE((T_ACC)from[i]);
    rest = COMBINE(rest, value);
  }
  const JOIN(T_ACC, 4) four = COMBINE(total.lo, total.hi);
  const JOIN(T_ACC, 2) two = COMBINE(four.lo, four.hi);
  const T_ACC one = COMBINE(two.lo, two.hi);
  return COMBINE(one, rest);
}

ONE_ITEM_A_GROUP
__kernel void rows(MEMORY(T_ACC) CENTRE_ARGUMENT, const long chunk, const long each, PART_ARGUMENTS(kept),
                   PART_ARGUMENTS(reduced), const T_ACC divisor) {
  UNPACK_PARTS
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  const long length = reduced_extent[reduced_ndim - 1];
  const long stride = reduced_step[reduced_ndim - 1];
  for (long o = get_global_id(0) * each; o < last; ++o) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    CENTRE(o)
    T_ACC total = IDENTITY;
    for (long r = begin; r < end;) {
      const long run = reduced_ndim == 1 ? end - r : min(length - r % length, end - r);
      __global const T_IN *from = base + POSITION(reduced, r);
      if (stride == 1) {
        const T_ACC part = dense(from, run, middle);
        total = COMBINE(total, part);
      } else
        for (long first = 0; first < run; first += BLOCK) {
          const long last_of_block = min(first + BLOCK, run);
          T_ACC part = IDENTITY;
          for (long i = first; i < last_of_block; ++i) {
            const T_ACC value = VALUE((T_ACC)from[i * stride]);
            part = COMBINE(part, value);
          }
          total = COMBINE(total, part);
        }
      r += run;
    }
    out[out_offset + get_global_id(1) * kept_count + o] = total FINISH;
  }
}

#define VALUE_OF(row) VALUE((T_ACC)(row)[j])
#if CENTRED
#define MIDDLE const T_ACC middle = middles[j];
#else
#define MIDDLE
#endif

ONE_ITEM_A_GROUP
__kernel void columns(MEMORY(T_ACC) CENTRE_ARGUMENT, const long chunk, const long each, PART_ARGUMENTS(kept),
                      PART_ARGUMENTS(reduced), const T_ACC divisor) {
  UNPACK_PARTS
  BEGIN_COLUMNS
  // Rows that lie end to end are taken several at a time, as one long one.
  const int joined = reduced_ndim == 1 && reduced_step[0] == width && width < WIDTH / 2 ? WIDTH / width : 1;
  const int count = joined * width;
  T_ACC totals[WIDTH], part[WIDTH];
#if CENTRED
  T_ACC middles[WIDTH];
  for (int j = 0; j < count; ++j) middles[j] = centre[centre_offset + o + j % width];
#endif
  for (int j = 0; j < count; ++j) totals[j] = IDENTITY;
  long r = begin;
  while (r + 4 * joined <= end) {
    for (int j = 0; j < count; ++j) part[j] = IDENTITY;
    for (int block = 0; block < 64 && r + 4 * joined <= end; ++block, r += 4 * joined) {
      __global const T_IN *r0 = from + POSITION(reduced, r), *r1 = from + POSITION(reduced, r + joined);
      __global const T_IN *r2 = from + POSITION(reduced, r + 2 * joined), *r3 = from + POSITION(reduced, r + 3 * joined);
      VECTORISE for (int j = 0; j < count; ++j) {
        MIDDLE
        const T_ACC a = VALUE_OF(r0), b = VALUE_OF(r1), c = VALUE_OF(r2), d = VALUE_OF(r3);
        const T_ACC ab = COMBINE(a, b), cd = COMBINE(c, d);
        const T_ACC all = COMBINE(ab, cd);
        part[j] = COMBINE(part[j], all);
      }
    }
    VECTORISE for (int j = 0; j < count; ++j) totals[j] = COMBINE(totals[j], part[j]);
  }
  for (; r < end; ++r) {
    __global const T_IN *row = from + POSITION(reduced, r);
    for (int j = 0; j < width; ++j) {
      MIDDLE
      const T_ACC a = VALUE_OF(row);
      totals[j] = COMBINE(totals[j], a);
    }
  }
  for (int i = 1; i < joined; ++i)
    for (int j = 0; j < width; ++j) totals[j] = COMBINE(totals[j], totals[i * width + j]);
  for (int j = 0; j < width; ++j) out[out_offset + get_global_id(1) * kept_count + o + j] = totals[j] FINISH;
}

#else
typedef JOIN(T_IN, 8) vector;
#define CHOOSE(p, q) (BETTER(p, q) ? (p) : (q))

// The index of the best of n elements with stride `step`, one by one.
inline long best_one(__global const T_IN *from, const long n, const long step) {
  long best = 0;
  T_IN value = from[0];
  for (long i = 1; i < n; ++i) {
    const T_IN other = from[i * step];
    const int better = BETTER(other, value);
    value = better ? other : value;
    best = better ? i : best;
  }
  return best;
}

// The index of the best of n dense elements: first the best one of a block, then where it is.
inline long best_of(__global const T_IN *from, const long n) {
  if (n < 64) return best_one(from, n, 1);
  long best = 0;
  T_IN value = from[0];
  for (long begin = 0; begin < n; begin += SEARCHED) {
    const long end = min(begin + SEARCHED, n);
    long i = begin;
    T_IN top = from[i];
    if (end - begin >= 32) {
      vector a = *(__global const vector_in *)(from + i), b = a, c = a, d = a;
      for (; i + 32 <= end; i += 32) {
        const vector e = *(__global const vector_in *)(from + i), f = *(__global const vector_in *)(from + i + 8);
        const vector g = *(__global const vector_in *)(from + i + 16), h = *(__global const vector_in *)(from + i + 24);
        a = CHOOSE(e, a);
        b = CHOOSE(f, b);
        c = CHOOSE(g, c);
        d = CHOOSE(h, d);
      }
      a = CHOOSE(b, a);
      c = CHOOSE(d, c);
      a = CHOOSE(c, a);
      for (int j = 0; j < 8; ++j) top = CHOOSE(a[j], top);
    }
    for (; i < end; ++i) top = CHOOSE(from[i], top);
    if (begin && !(BETTER(top, value))) continue;
    value = top;
    for (i = begin; !(from[i] == top || from[i] != from[i]); ++i) {
    }
    best = i;
  }
  return best;
}

// Short rows, SHORT of them side by side: `from` is where the first one begins.
#define SHORT 64
inline void best_of_short(__global const T_IN *from, const long n, const long step, const int rows, const long next,
                          __global long *to) {
  T_IN values[SHORT];
  int indices[SHORT];
  for (int j = 0; j < rows; ++j) {
    values[j] = from[j * next];
    indices[j] = 0;
  }
  for (int i = 1; i < (int)n; ++i)
    VECTORISE for (int j = 0; j < rows; ++j) {
      const T_IN mine = values[j], other = from[j * next + i * step];
      const int better = BETTER(other, mine);
      values[j] = better ? other : mine;
      indices[j] = better ? i : indices[j];
    }
  for (int j = 0; j < rows; ++j) to[j] = indices[j];
}

ONE_ITEM_A_GROUP
__kernel void arg_rows(MEMORY(long), const long chunk, const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  if (reduced_count < SHORT && reduced_ndim == 1 && kept_ndim == 1) {
    for (long o = get_global_id(0) * each; o < last; o += SHORT)
      best_of_short(x + x_offset + o * kept_step[0], reduced_count, reduced_step[0], (int)min((long)SHORT, last - o),
                    kept_step[0], out + out_offset + o);
    return;
  }
  for (long o = get_global_id(0) * each; o < last; ++o) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    long best = begin;
    if (reduced_ndim == 1) {
      __global const T_IN *from = base + POSITION(reduced, begin);
      best += reduced_step[0] == 1 ? best_of(from, end - begin) : best_one(from, end - begin, reduced_step[0]);
    } else {
      T_IN value = base[POSITION(reduced, begin)];
      for (long r = begin + 1; r < end; ++r) {
        const T_IN other = base[POSITION(reduced, r)];
        if (BETTER(other, value)) {
          value = other;
          best = r;
        }
      }
    }
    out[out_offset + get_global_id(1) * kept_count + o] = best;
  }
}

ONE_ITEM_A_GROUP
__kernel void arg_columns(MEMORY(long), const long chunk, const long each, PART_ARGUMENTS(kept),
                          PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  BEGIN_COLUMNS
  T_IN values[WIDTH];
  INDEX indices[WIDTH];
  __global const T_IN *row = from + POSITION(reduced, begin);
  for (int j = 0; j < width; ++j) {
    values[j] = row[j];
    indices[j] = 0;
  }
  for (long r = begin + 1; r < end; ++r) {
    row = from + POSITION(reduced, r);
    const INDEX index = (INDEX)(r - begin);
    VECTORISE for (int j = 0; j < width; ++j) {
      const T_IN mine = values[j], other = row[j];
      const int better = BETTER(other, mine);
      values[j] = better ? other : mine;
      indices[j] = better ? index : indices[j];
    }
  }
  for (int j = 0; j < width; ++j) out[out_offset + get_global_id(1) * kept_count + o + j] = begin + indices[j];
}

// `chosen` has an index for each chunk and output.
ONE_ITEM_A_GROUP
__kernel void arg_chunks(MEMORY(long), __global const long *restrict chosen, const long chosen_offset, const int chunks,
                         const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced)) {
  UNPACK_PARTS
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  for (long o = get_global_id(0) * each; o < last; ++o) {
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
}
#endif
