// Reductions on a CPU. See reduction.h for the defines, and reduction_cpu.h for `rows` and `columns`.
//
//   arg_rows, arg_columns  the same for argmax; they write indices within the reduced part.
#include "reduction_cpu.h"

#define SEARCHED 512

#ifdef COMBINE
typedef JOIN(T_ACC, 8) vector;
typedef JOIN(T_ACC, 8) vector_out __attribute__((aligned(sizeof(T_ACC))));

// Sums go block by block, so that errors grow with the root of the length at most.
inline T_ACC dense(__global const T_IN *from, const long n) {
  vector total = (vector)(IDENTITY);
  T_ACC rest = IDENTITY;
  long i = 0;
#define LOAD(i) __builtin_convertvector(*(__global const vector_in *)(from + (i)), vector)
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
    const T_ACC value = from[i];
    rest = COMBINE(rest, value);
  }
  const JOIN(T_ACC, 4) four = COMBINE(total.lo, total.hi);
  const JOIN(T_ACC, 2) two = COMBINE(four.lo, four.hi);
  const T_ACC one = COMBINE(two.lo, two.hi);
  return COMBINE(one, rest);
}

// Eight short and dense rows side by side. (Returned as a vector of 64 bytes, PoCL's compiler would tell the user of a
// warning.)
inline void eight_short(vector *result, __global const T_IN *from, const int n, const long next) {
  vector total = (vector)(IDENTITY);
#define ADD(i, raw)                                                                                      \
  {                                                                                                      \
    const vector each = __builtin_convertvector(raw, vector);                                            \
    total = COMBINE(total, each);                                                                        \
  }
  EIGHT_ROWS(ADD)
  *result = total;
}

ONE_ITEM_A_GROUP
__kernel void rows(MEMORY(T_ACC), const long chunk, const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced),
                   const T_ACC divisor) {
  UNPACK_PARTS
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  const long length = reduced_extent[reduced_ndim - 1];
  const long stride = reduced_step[reduced_ndim - 1];
  long o = get_global_id(0) * each;
  if (reduced_count < SHORT && reduced_ndim == 1 && kept_ndim == 1 && stride == 1)
    for (; o + 8 <= last; o += 8) {
      vector total;
      eight_short(&total, x + x_offset + o * kept_step[0], (int)reduced_count, kept_step[0]);
      *(__global vector_out *)(out + out_offset + o) = total FINISH;
    }
  for (; o < last; ++o) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    T_ACC total = IDENTITY;
    for (long r = begin; r < end;) {
      const long run = reduced_ndim == 1 ? end - r : min(length - r % length, end - r);
      __global const T_IN *from = base + POSITION(reduced, r);
      if (stride == 1) {
        const T_ACC part = dense(from, run);
        total = COMBINE(total, part);
      } else
        for (long first = 0; first < run; first += BLOCK) {
          const long last_of_block = min(first + BLOCK, run);
          T_ACC part = IDENTITY;
          for (long i = first; i < last_of_block; ++i) {
            const T_ACC value = from[i * stride];
            part = COMBINE(part, value);
          }
          total = COMBINE(total, part);
        }
      r += run;
    }
    out[out_offset + get_global_id(1) * kept_count + o] = total FINISH;
  }
}

ONE_ITEM_A_GROUP
__kernel void columns(MEMORY(T_ACC), const long chunk, const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced),
                      const T_ACC divisor) {
  UNPACK_PARTS
  BEGIN_COLUMNS
  // Rows that lie end to end are taken several at a time, as one long one.
  const int joined = reduced_ndim == 1 && reduced_step[0] == width && width < JOINED / 2 ? JOINED / width : 1;
  const int count = joined * width;
  T_ACC totals[WIDTH], part[WIDTH];
  for (int j = 0; j < count; ++j) totals[j] = IDENTITY;
  long r = begin;
  while (r + 4 * joined <= end) {
    for (int j = 0; j < count; ++j) part[j] = IDENTITY;
    for (int block = 0; block < 64 && r + 4 * joined <= end; ++block, r += 4 * joined) {
      __global const T_IN *r0 = from + POSITION(reduced, r), *r1 = from + POSITION(reduced, r + joined);
      __global const T_IN *r2 = from + POSITION(reduced, r + 2 * joined), *r3 = from + POSITION(reduced, r + 3 * joined);
      VECTORISE for (int j = 0; j < count; ++j) {
        const T_ACC a = r0[j], b = r1[j], c = r2[j], d = r3[j];
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
      const T_ACC a = row[j];
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

// Where `value` or, if that is NaN, the first NaN is; it must be there.
inline long place_of(const T_IN value, __global const T_IN *from, const long n) {
#define THERE(i) (from[i] == value || from[i] != from[i])
  long i = 0;
  for (int found = 0; i + 32 <= n; i += 32) {
    VECTORISE for (int j = 0; j < 32; ++j) found |= THERE(i + j);
    if (found) break;
  }
  while (!THERE(i)) ++i;
  return i;
}

// The index of the best of n dense elements: first which block has it, then where in the block it is.
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
    best = begin;
  }
  return best + place_of(value, from + best, n - best);
}

// Eight short and dense rows side by side.
typedef __typeof__((vector)(0) > (vector)(0)) places;  // as wide as the elements, for choosing by lanes
inline void best_of_eight(__global const T_IN *from, const int n, const long next, __global long *to) {
#define TAKE(place, other)                                                                               \
  {                                                                                                      \
    const places better = BETTER(other, value);                                                          \
    value = better ? other : value;                                                                      \
    best = better ? (places)(place) : best;                                                              \
  }
  vector value = (vector)(from[0], from[next], from[2 * next], from[3 * next], from[4 * next], from[5 * next], from[6 * next], from[7 * next]);
  places best = (places)(0);
  EIGHT_ROWS(TAKE)
  for (int row = 0; row < 8; ++row) to[row] = best[row];
}

// Short rows, SHORT of them side by side: `from` is where the first one begins.
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
    long o = get_global_id(0) * each;
    if (reduced_step[0] == 1)
      for (; o + 8 <= last; o += 8)
        best_of_eight(x + x_offset + o * kept_step[0], (int)reduced_count, kept_step[0], out + out_offset + o);
    for (; o < last; o += SHORT)
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

// Several rows at a time, so that values and indices are loaded and stored the more seldom.
#define ROW(k)                                                                                           \
  __global const T_IN *row##k = from + POSITION(reduced, r + k);                                         \
  const INDEX index##k = (INDEX)(r + k - begin);
#define IF_BETTER(k)                                                                                     \
  {                                                                                                      \
    const T_IN other = row##k[j];                                                                        \
    const int better = BETTER(other, value);                                                             \
    value = better ? other : value;                                                                      \
    best = better ? index##k : best;                                                                     \
  }
#define BETTER_OF(ROWS)                                                                                  \
  VECTORISE for (int j = 0; j < width; ++j) {                                                            \
    T_IN value = values[j];                                                                              \
    INDEX best = indices[j];                                                                             \
    ROWS                                                                                                 \
    values[j] = value;                                                                                   \
    indices[j] = best;                                                                                   \
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
  long r = begin;
  for (; r + 8 <= end; r += 8) {
    ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7)
    BETTER_OF(IF_BETTER(0) IF_BETTER(1) IF_BETTER(2) IF_BETTER(3) IF_BETTER(4) IF_BETTER(5) IF_BETTER(6) IF_BETTER(7))
  }
  for (; r < end; ++r) {
    ROW(0)
    BETTER_OF(IF_BETTER(0))
  }
  for (int j = 0; j < width; ++j) out[out_offset + get_global_id(1) * kept_count + o + j] = begin + indices[j];
}
#endif
