// Variance on a CPU, in one pass through memory. See reduction_cpu.h for what an item gets.
//
// Elements are taken block by block. A block stays in cache, or in registers, and is gone through twice: for its mean, and
// for M2, the sum of the squared distances from that mean. See variance.h for how it is merged with those before it.
//
//   var_rows, var_columns  as `rows` and `columns` of reduction_cpu.cl. If there are chunks, they leave their means and,
//                          behind all of these, their M2; if not, the variances.
#include "reduction_cpu.h"
#include "variance.h"

#define BLOCK_OF_ROWS 512  // so that errors grow with the root of the length at most
#define DISTANCE(v) ((T_ACC)(v) - pivot - middle)
#define PLACE(k) POSITION(reduced, min((long)(k), reduced_count - 1))  // of the element, or of the last one
typedef JOIN(T_ACC, 8) vector;
typedef JOIN(T_ACC, 8) vector_out __attribute__((aligned(sizeof(T_ACC))));

#define WRITE(o, mean, squares)                                                                          \
  if (get_global_size(1) == 1)                                                                           \
    out[out_offset + (o)] = (squares) / divisor;                                                         \
  else {                                                                                                 \
    out[out_offset + get_global_id(1) * kept_count + (o)] = mean;                                        \
    out[out_offset + (get_global_size(1) + get_global_id(1)) * kept_count + (o)] = squares;              \
  }

// The sum of the distances of n elements from pivot + middle, or of their squares.
static inline __attribute__((always_inline)) T_ACC total_of_run(__global const T_IN *from, const long n, const long stride,
                                                                const T_ACC pivot, const T_ACC middle, const int squared) {
#define TERM(d) (squared ? (d) * (d) : (d))
#define LOAD(i) (__builtin_convertvector(*(__global const vector_in *)(from + (i)), vector) - pivot - middle)
#define FOUR(to, i)                                                                                      \
  {                                                                                                      \
    const vector e = LOAD(i), f = LOAD(i + 8), g = LOAD(i + 16), h = LOAD(i + 24);                       \
    to += (TERM(e) + TERM(f)) + (TERM(g) + TERM(h));                                                     \
  }
  vector a = (vector)(0), b = a, c = a, d = a;
  T_ACC rest = 0;
  long i = 0;
  if (stride == 1) {
    for (; i + 128 <= n; i += 128) {
      FOUR(a, i) FOUR(b, i + 32) FOUR(c, i + 64) FOUR(d, i + 96)
    }
    for (; i + 32 <= n; i += 32) FOUR(a, i)
    for (; i + 8 <= n; i += 8) {
      const vector e = LOAD(i);
      a += TERM(e);
    }
  }
  for (; i < n; ++i) {
    const T_ACC e = DISTANCE(from[i * stride]);
    rest += TERM(e);
  }
  a += b + (c + d);
  const JOIN(T_ACC, 4) four = a.lo + a.hi;
  const JOIN(T_ACC, 2) two = four.lo + four.hi;
  return two.lo + two.hi + rest;
}

// The same for the places r … end of the reduced axes.
static inline __attribute__((always_inline)) T_ACC total(__global const T_IN *base, long r, const long end, const T_ACC pivot,
                                                         const T_ACC middle, const int squared, const int reduced_ndim,
                                                         const AXIS *reduced_extent, const AXIS *reduced_step) {
  const long length = reduced_extent[reduced_ndim - 1];
  T_ACC sum = 0;
  while (r < end) {
    const long run = reduced_ndim == 1 ? end - r : min(length - r % length, end - r);
    sum += total_of_run(base + POSITION(reduced, r), run, reduced_step[reduced_ndim - 1], pivot, middle, squared);
    r += run;
  }
  return sum;
}

// The squares of eight short and dense rows side by side.
static inline vector eight_short(__global const T_IN *from, const int n, const long next) {
  vector elements[SHORT], sum = (vector)(0), squares = (vector)(0);
#define KEEP(i, raw) elements[i] = __builtin_convertvector(raw, vector);
  EIGHT_ROWS(KEEP)
  const vector second = elements[min(1, n - 1)], third = elements[min(2, n - 1)];
  const vector pivot = MEDIAN(elements[0], second, third);
  for (int i = 0; i < n; ++i) sum += elements[i] - pivot;
  const vector middle = sum / (T_ACC)n;
  for (int i = 0; i < n; ++i) {
    const vector distance = elements[i] - pivot - middle;
    squares += distance * distance;
  }
  return squares;
}

ONE_ITEM_A_GROUP
__kernel void var_rows(MEMORY(T_ACC), const long chunk, const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced),
                       const T_ACC divisor) {
  UNPACK_PARTS
  const long begin = get_global_id(1) * chunk;
  const long end = min(begin + chunk, reduced_count);
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  long o = get_global_id(0) * each;
  if (0 < reduced_count && reduced_count < SHORT && reduced_ndim == 1 && kept_ndim == 1 && reduced_step[0] == 1)
    for (; o + 8 <= last; o += 8)
      *(__global vector_out *)(out + out_offset + o) =
          eight_short(x + x_offset + o * kept_step[0], (int)reduced_count, kept_step[0]) / divisor;
  for (; o < last; ++o) {
    __global const T_IN *base = x + x_offset + POSITION(kept, o);
    const T_ACC pivot = begin < end ? MEDIAN((T_ACC)base[0], (T_ACC)base[PLACE(1)], (T_ACC)base[PLACE(2)]) : 0;
    T_ACC mean = 0, squares = 0;
    for (long r = begin; r < end; r += BLOCK) {
      const long next = min(r + BLOCK, end);
#define TOTAL(middle, squared) \
  total(base, r, next, pivot, middle, squared, reduced_ndim, reduced_extent, reduced_step)
      const T_ACC middle = TOTAL(0, 0) / (T_ACC)(next - r);
      const T_ACC part = TOTAL(middle, 1);
      SHARES(r - begin, next - r)
      MERGE(mean, squares, middle, part)
    }
    WRITE(o, mean, squares)
  }
}

// Row k of eight, `joined` rows apart, and its distances from the pivot.
#define ROW(k) __global const T_IN *row##k = from + POSITION(reduced, r + k * joined);
#define VALUE(k) const T_ACC v##k = (T_ACC)row##k[j] - pivots[j];
#define SQUARE(k) ((v##k - middle) * (v##k - middle))

ONE_ITEM_A_GROUP
__kernel void var_columns(MEMORY(T_ACC), const long chunk, const long each, PART_ARGUMENTS(kept), PART_ARGUMENTS(reduced),
                          const T_ACC divisor) {
  UNPACK_PARTS
  BEGIN_COLUMNS
  // Rows that lie end to end are taken several at a time, as one long one.
  const int joined = reduced_ndim == 1 && reduced_step[0] == width && width < JOINED / 2 ? JOINED / width : 1;
  const int count = joined * width;
  T_ACC pivots[WIDTH], means[WIDTH], squares[WIDTH], all_means[WIDTH], all_squares[WIDTH];
  __global const T_IN *second = from + PLACE(1), *third = from + PLACE(2);
  for (int j = 0; begin < end && j < width; ++j) pivots[j] = MEDIAN((T_ACC)from[j], (T_ACC)second[j], (T_ACC)third[j]);
  for (int j = width; j < count; ++j) pivots[j] = pivots[j - width];
  for (int j = 0; j < count; ++j) all_means[j] = all_squares[j] = 0;
  long r = begin, all = 0;
  while (r + 8 * joined <= end) {
    int before = 0;
    for (int j = 0; j < count; ++j) means[j] = squares[j] = 0;
    for (; before < BLOCK_OF_ROWS && r + 8 * joined <= end; before += 8, r += 8 * joined) {
      SHARES(before, 8)
      ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7)
      VECTORISE for (int j = 0; j < count; ++j) {
        VALUE(0) VALUE(1) VALUE(2) VALUE(3) VALUE(4) VALUE(5) VALUE(6) VALUE(7)
        const T_ACC middle = (((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))) / 8;
        const T_ACC part = ((SQUARE(0) + SQUARE(1)) + (SQUARE(2) + SQUARE(3))) + ((SQUARE(4) + SQUARE(5)) + (SQUARE(6) + SQUARE(7)));
        MERGE(means[j], squares[j], middle, part)
      }
    }
    SHARES(all, before)
    VECTORISE for (int j = 0; j < count; ++j) MERGE(all_means[j], all_squares[j], means[j], squares[j])
    all += before;
  }
  for (int i = 1; all && i < joined; ++i) {
    SHARES(i * all, all)
    for (int j = 0; j < width; ++j) MERGE(all_means[j], all_squares[j], all_means[i * width + j], all_squares[i * width + j])
  }
  for (; r < end; ++r) {
    __global const T_IN *row0 = from + POSITION(reduced, r);
    SHARES(r - begin, 1)
    VECTORISE for (int j = 0; j < width; ++j) {
      VALUE(0)
      MERGE(all_means[j], all_squares[j], v0, v0 - v0)  // NaN for an infinity
    }
  }
  for (int j = 0; j < width; ++j) WRITE(o + j, all_means[j], all_squares[j])
}
