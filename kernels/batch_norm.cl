// Batch normalisation of x[rows, channels] over its rows, in both directions.
//
//   statistics_parts, statistics_joined   mean, variance and unbiased variance of each channel
//   normalised                            y = (x − mean) · scale + bias, scale = weight / √(variance + eps)
//   gradient_parts, gradients_joined      Σ dy · z and Σ dy over the rows, z = (x − mean) / √(variance + eps)
//   backward                              dx = scale · (dy − Σ dy / rows − z · Σ dy · z / rows)
//
// Whatever walks over x is cut alike: global size in groups (blocks of columns, parts of `depth` rows). A column is WIDTH
// channels, and an item takes LANES of them. GPU: local size (columns, rows), neighbours read neighbouring columns, and the
// items of a column meet in a tree; LANES is 1. CPU: local size (1, 1). Parts are joined in order, or in a tree that does not
// depend on the device's mood: the same bits always. Offsets and rows are counted in elements and in rows of x.
#include "common.h"
#include "vectors.h"

#if CPU
#define ITEMS 1
#define SHAPE __attribute__((reqd_work_group_size(1, 1, 1)))
#else
#define ITEMS 256
#define SHAPE
#endif

#if WIDTH == 8
typedef float8 column_type;
#define LOAD(p) LOAD8(p)
#define STORE(p, value) STORE8(p, value)
#elif WIDTH == 4
typedef float4 column_type;
#if CPU
#define LOAD(p) LOAD4(p)
#define STORE(p, value) STORE4(p, value)
#else
#define LOAD(p) (*(const __global float4 *)(p))   // aligned, as the launch has seen to
#define STORE(p, value) (*(__global float4 *)(p) = (value))
#endif
#else
typedef float column_type;
#define LOAD(p) (*(p))
#define STORE(p, value) (*(p) = (value))
#endif

// first: the first channel of this item · share, shares: of the rows of its part
#define BEGIN_WALK                                                                        \
  const int share = get_local_id(1), shares = get_local_size(1);                          \
  const int first = (int)get_global_id(0) * LANES * WIDTH;                                \
  const long begin = get_group_id(1) * depth, end = min(begin + depth, rows);
#define EACH_LANE for (int lane = 0; lane < LANES; ++lane)
#define CHANNEL (first + lane * WIDTH)

// The rows of this item: FETCH and DO each, and FINISH_FOUR or FINISH_ONE what they have made. Four at once, since one
// load alone would wait for memory most of the time, and since sums of four lose fewer digits.
#define EACH_ROW(FETCH, DO, FINISH_FOUR, FINISH_ONE)                                      \
  {                                                                                       \
    long row = begin + share;                                                             \
    for (; row + 3 * shares < end; row += 4 * shares) {                                   \
      FETCH(0, row) FETCH(1, row + shares) FETCH(2, row + 2 * shares) FETCH(3, row + 3 * shares) \
      EACH_LANE {                                                                         \
        DO(0, row) DO(1, row + shares) DO(2, row + 2 * shares) DO(3, row + 3 * shares)    \
        FINISH_FOUR                                                                       \
      }                                                                                   \
    }                                                                                     \
    for (; row < end; row += shares) {                                                    \
      FETCH(0, row)                                                                       \
      EACH_LANE {                                                                         \
        DO(0, row)                                                                        \
        FINISH_ONE                                                                        \
      }                                                                                   \
    }                                                                                     \
  }
#define NOTHING

// The sums of the items of one column in `a` and `b`, complete in that with share 0.
#if CPU
#define TREE
#define MEET(a, b)
#else
#define TREE __local column_type tree[2][ITEMS];
#define MEET(a, b)                                                                        \
  {                                                                                       \
    const int item = share * get_local_size(0) + get_local_id(0);                         \
    tree[0][item] = a;                                                                    \
    tree[1][item] = b;                                                                    \
    for (int half_ = shares / 2; half_ > 0; half_ /= 2) {                                 \
      barrier(CLK_LOCAL_MEM_FENCE);                                                       \
      if (share < half_) {                                                                \
        tree[0][item] += tree[0][item + half_ * get_local_size(0)];                       \
        tree[1][item] += tree[1][item + half_ * get_local_size(0)];                       \
      }                                                                                   \
    }                                                                                     \
    a = tree[0][item];                                                                    \
    b = tree[1][item];                                                                    \
  }
#endif

// parts[part][0] the means of its rows, parts[part][1] the sums of their squared distances from it. Distances are taken
// from the part's first row on the way, so that a large mean costs no digits; from 0 where that is infinite, so that the mean
// becomes infinite too, and not NaN.
SHAPE
__kernel void statistics_parts(__global const float *restrict x, const long x_offset, __global float *restrict parts,
                               const long rows, const int channels, const long depth) {
  TREE
  BEGIN_WALK
  __global const float *from = x + x_offset + first;
  column_type sum[LANES], squares[LANES], shift[LANES];
  EACH_LANE sum[lane] = squares[lane] = shift[lane] = 0;
  if (first < channels) {
    EACH_LANE {
      const column_type first_row = LOAD(from + begin * channels + lane * WIDTH);
      shift[lane] = first_row - first_row == (column_type)0 ? first_row : (column_type)0;
    }
#define FETCH(k, row) column_type x##k[LANES]; EACH_LANE x##k[lane] = LOAD(from + (row) * channels + lane * WIDTH);
#define DO(k, row) const column_type distance##k = x##k[lane] - shift[lane];
#define FOUR                                                                                             \
    sum[lane] += (distance0 + distance1) + (distance2 + distance3);                                      \
    squares[lane] += (distance0 * distance0 + distance1 * distance1) + (distance2 * distance2 + distance3 * distance3);
#define ONE                                 \
    sum[lane] += distance0;                 \
    squares[lane] += distance0 * distance0;
    EACH_ROW(FETCH, DO, FOUR, ONE)
#undef FOUR
#undef ONE
#undef FETCH
#undef DO
  }
  MEET(sum[0], squares[0])
  if (share || first >= channels) return;
  __global float *to = parts + get_group_id(1) * 2l * channels;
  const float count = end - begin;
  EACH_LANE {
    STORE(to + CHANNEL, shift[lane] + sum[lane] / count);
    STORE(to + channels + CHANNEL, fmax(squares[lane] - sum[lane] * (sum[lane] / count), (column_type)0));
  }
}

// A group joins the parts of local size (0) channels; its items of one channel share the parts.
#define BEGIN_JOIN                                                                                             \
  const int share = get_local_id(1), shares = get_local_size(1), channel = get_global_id(0);
#if CPU
#define FLAT_TREE
#define MEET_ALL(value)
#else
#define FLAT_TREE __local float tree[ITEMS];
#define MEET_ALL(value)                                                                                        \
  {                                                                                                            \
    const int item = share * get_local_size(0) + get_local_id(0);                                              \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
    tree[item] = value;                                                                                        \
    for (int half_ = shares / 2; half_ > 0; half_ /= 2) {                                                      \
      barrier(CLK_LOCAL_MEM_FENCE);                                                                            \
      if (share < half_) tree[item] += tree[item + half_ * get_local_size(0)];                                 \
    }                                                                                                          \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
    value = tree[get_local_id(0)];                                                                             \
  }
#endif

// statistics[0] means, [1] variances, [2] unbiased variances: T. Chan and others, "Updating Formulae and a Pairwise
// Algorithm for Computing Sample Variances", 1979.
SHAPE
__kernel void statistics_joined(__global const float *restrict parts, __global float *restrict statistics,
                                const int count, const long rows, const int channels, const long depth) {
  FLAT_TREE
  BEGIN_JOIN
  float mean = 0, squares = 0;
  if (channel < channels)
    for (int part = share; part < count; part += shares)
      mean += parts[2l * part * channels + channel] * (float)(min((part + 1) * depth, rows) - part * depth);
  MEET_ALL(mean)
  mean /= (float)rows;
  if (channel < channels)
    for (int part = share; part < count; part += shares) {
      const float distance = parts[2l * part * channels + channel] - mean;
      const float size = min((part + 1) * depth, rows) - part * depth;
      squares += parts[(2l * part + 1) * channels + channel] + size * distance * distance;
    }
  MEET_ALL(squares)
  if (share || channel >= channels) return;
  statistics[channel] = mean;
  statistics[channels + channel] = squares / (float)rows;
  statistics[2 * channels + channel] = squares / (float)max(rows - 1, 1l);
}

#define NORMALISING                                                                                            \
  __global const float *restrict statistics, const long statistics_offset, __global const float *restrict weight, \
      const long weight_offset, __global const float *restrict bias, const long bias_offset, const float eps
#define BEGIN_NORMAL                                                                                           \
  column_type mean[LANES], deviation[LANES], scale[LANES], shift[LANES];                                       \
  if (first < channels) EACH_LANE {                                                                            \
    mean[lane] = LOAD(statistics + statistics_offset + CHANNEL);                                               \
    deviation[lane] = sqrt(LOAD(statistics + statistics_offset + channels + CHANNEL) + eps);                   \
    scale[lane] = ANYWHERE(weight + weight_offset + CHANNEL) / deviation[lane];                                \
    shift[lane] = ANYWHERE(bias + bias_offset + CHANNEL);                                                      \
  }
// Weights and biases lie anywhere in a network's vector.
#if WIDTH == 8
#define ANYWHERE(p) LOAD8(p)
#elif WIDTH == 4
#define ANYWHERE(p) LOAD4(p)
#else
#define ANYWHERE(p) (*(p))
#endif
#define NORMAL(x) ((x - mean[lane]) * scale[lane] + shift[lane])

SHAPE
__kernel void normalised(__global const float *restrict x, const long x_offset, NORMALISING,
                         __global float *restrict y, const long rows, const int channels, const long depth) {
  BEGIN_WALK
  BEGIN_NORMAL
  if (first >= channels) return;
  __global const float *from = x + x_offset + first;
#define FETCH(k, row) column_type x##k[LANES]; EACH_LANE x##k[lane] = LOAD(from + (row) * channels + lane * WIDTH);
#define DO(k, row) STORE(y + (row) * channels + CHANNEL, NORMAL(x##k[lane]));
  EACH_ROW(FETCH, DO, NOTHING, NOTHING)
#undef FETCH
#undef DO
}

#define FETCH_BOTH(k, row)                                           \
  column_type x##k[LANES], dy##k[LANES];                             \
  EACH_LANE {                                                        \
    x##k[lane] = LOAD(from + (row) * channels + lane * WIDTH);       \
    dy##k[lane] = LOAD(above + (row) * channels + lane * WIDTH);     \
  }

// parts[part][0] Σ dy · (x − mean) over its rows, which lacks z's division, parts[part][1] Σ dy.
SHAPE
__kernel void gradient_parts(__global const float *restrict dy, const long dy_offset, __global const float *restrict x,
                             const long x_offset, NORMALISING, __global float *restrict parts, const long rows,
                             const int channels, const long depth) {
  TREE
  BEGIN_WALK
  BEGIN_NORMAL
  __global const float *from = x + x_offset + first, *above = dy + dy_offset + first;
  column_type products[LANES], sum[LANES];
  EACH_LANE products[lane] = sum[lane] = 0;
  if (first < channels) {
#define DO(k, row)                                                     \
    const column_type product##k = dy##k[lane] * (x##k[lane] - mean[lane]);
#define FOUR                                                           \
    products[lane] += (product0 + product1) + (product2 + product3);   \
    sum[lane] += (dy0[lane] + dy1[lane]) + (dy2[lane] + dy3[lane]);
#define ONE                                                            \
    products[lane] += product0;                                        \
    sum[lane] += dy0[lane];
    EACH_ROW(FETCH_BOTH, DO, FOUR, ONE)
#undef DO
#undef FOUR
#undef ONE
  }
  MEET(products[0], sum[0])
  if (share || first >= channels) return;
  __global float *to = parts + get_group_id(1) * 2l * channels;
  EACH_LANE {
    STORE(to + CHANNEL, products[lane] / deviation[lane]);
    STORE(to + channels + CHANNEL, sum[lane]);
  }
}

// `channels` counts both sums of each channel here.
SHAPE
__kernel void gradients_joined(__global const float *restrict parts, __global float *restrict sums, const int count,
                               const int channels) {
  FLAT_TREE
  BEGIN_JOIN
  float sum = 0;
  if (channel < channels)
    for (int part = share; part < count; part += shares) sum += parts[(long)part * channels + channel];
  MEET_ALL(sum)
  if (share == 0 && channel < channels) sums[channel] = sum;
}

SHAPE
__kernel void backward(__global const float *restrict dy, const long dy_offset, __global const float *restrict x,
                       const long x_offset, NORMALISING, __global const float *restrict sums, const long sums_offset,
                       __global float *restrict dx, const long rows, const int channels, const long depth) {
  BEGIN_WALK
  BEGIN_NORMAL
  if (first >= channels) return;
  __global const float *from = x + x_offset + first, *above = dy + dy_offset + first;
  column_type slope[LANES], level[LANES];
  EACH_LANE {
    slope[lane] = LOAD(sums + sums_offset + CHANNEL) / (float)rows / deviation[lane];
    level[lane] = LOAD(sums + sums_offset + channels + CHANNEL) / (float)rows;
  }
#define DO(k, row)                                             \
  const column_type rest##k = dy##k[lane] - level[lane];       \
  STORE(dx + (row) * channels + CHANNEL, scale[lane] * (rest##k - (x##k[lane] - mean[lane]) * slope[lane]));
  EACH_ROW(FETCH_BOTH, DO, NOTHING, NOTHING)
#undef DO
}
