// out[i] = EXPRESSION(a, b, …) on a GPU, over inputs of any layout. See elementwise.h for the defines.
//
// LANES neighbouring elements (16 bytes of the widest type) are one load and one store wherever all operands allow it;
// whether they do is the same for all work-items of a launch.
//
// contiguous  every operand is dense in the same order, or a single element (step 1 or 0). Global size (any,).
// strided     any layout, -D NDIM axes; work-items along x take columns (the last axis), along y rows (all others), ROWS
//             of them at once, since a load alone would wait for memory most of the time.
// tiled       some input is dense along the last axis but one (a transposition; TURNED_A 1, …): groups of TILE × DEEP
//             work-items take a tile of TILE × TILE of the last two axes each, through local memory. Global size
//             (tiles · TILE, DEEP).
#define UNROLL_AXES _Pragma("unroll")
#define DEEP (256 / TILE)
#include "elementwise.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define VECTOR(T) JOIN(T, LANES)
#if LANES == 4
#define EACH_LANE(F) F(s0) F(s1) F(s2) F(s3)
#else
#define EACH_LANE(F) F(s0) F(s1)
#endif

#define LOAD_SINGLE(X, x) const COMPUTE_##X x = READ_##X(X[AT(x)]);
#define EVALUATE_SINGLE(TO)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_SINGLE) STATEMENTS                                                                     \
    OUT[TO] = WRITE(EXPRESSION);                                                                       \
  }
#define LOAD_VECTOR(X, x)                                                                                \
  const VECTOR(T_##X) x##_vector = IS_DENSE(x) ? *(__global const VECTOR(T_##X) *)(X + AT(x)) : (VECTOR(T_##X))(X[AT(x)]);
#define EVALUATE_LANE(lane)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_LANE_##lane) STATEMENTS                                                                \
    out_vector.lane = WRITE(EXPRESSION);                                                               \
  }
#define LOAD_LANE_s0(X, x) const COMPUTE_##X x = READ_##X(x##_vector.s0);
#define LOAD_LANE_s1(X, x) const COMPUTE_##X x = READ_##X(x##_vector.s1);
#define LOAD_LANE_s2(X, x) const COMPUTE_##X x = READ_##X(x##_vector.s2);
#define LOAD_LANE_s3(X, x) const COMPUTE_##X x = READ_##X(x##_vector.s3);
#define STORE_VECTOR(TO)                                                                                 \
  VECTOR(T_OUT) out_vector;                                                                              \
  EACH_LANE(EVALUATE_LANE)                                                                               \
  *(__global VECTOR(T_OUT) *)(OUT + (TO)) = out_vector;
#define EVALUATE_VECTOR(TO)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_VECTOR)                                                                                \
    STORE_VECTOR(TO)                                                                                     \
  }

#define AT(x) x##_offset + i * x##_step
#define IS_DENSE(x) x##_step
#define MISFIT(X, x) | (x##_step ? x##_offset : 0)

__kernel void contiguous(MEMORY, const long n OPERANDS(STEP_ARGUMENT)) {
  const long id = get_global_id(0), items = get_global_size(0);
  const long whole = (out_offset OPERANDS(MISFIT)) % LANES ? 0 : n / LANES * LANES;
  for (long i = id * LANES; i < whole; i += items * LANES) EVALUATE_VECTOR(out_offset + i)
  for (long i = whole + id; i < n; i += items) EVALUATE_SINGLE(out_offset + i)
}

#undef AT
#undef IS_DENSE
#undef MISFIT

#ifdef NDIM
#define AT(x) x##_at + i * x##_fast
#define IS_DENSE(x) x##_fast
#define FAST(X, x) const long x##_fast = x##_stride[NDIM - 1];
#define NEW_ROWS(X, x) VECTOR(T_##X) x##_rows[ROWS];
#define NEW_BEGINNINGS(X, x) long x##_begin[ROWS];
#define KEEP_BEGINNING(X, x) x##_begin[k] = x##_at;
#define LOAD_ROW(X, x)                                                                                   \
  {                                                                                                      \
    __global const T_##X *from = X + x##_begin[k] + i * x##_fast;                                        \
    x##_rows[k] = x##_fast ? *(__global const VECTOR(T_##X) *)from : (VECTOR(T_##X))(*from);             \
  }
#define TAKE_ROW(X, x) const VECTOR(T_##X) x##_vector = x##_rows[k];
#define EACH_ROW                                                                                         \
  UNROLL_AXES                                                                                            \
  for (int k = 0; k < ROWS; ++k)

#ifdef ROWS
// Where rows begin: all strides but the fast one, and the offset, have to keep whole vectors together.
#define MISFIT(X, x)                                                                                     \
  if (x##_fast == 1) {                                                                                   \
    misfit |= x##_offset;                                                                                \
    UNROLL_AXES                                                                                          \
    for (int axis = 0; axis < NDIM - 1; ++axis) misfit |= x##_stride[axis];                              \
  } else if (x##_fast)                                                                                   \
    misfit |= 1;

__kernel void strided(MEMORY, AXES(shape), const long rows, AXES(out_strides) OPERANDS(STRIDES_ARGUMENT)) {
  AXES_ARRAY(extent, shape)
  ALL_OPERANDS(UNPACK_STRIDES)
  ALL_OPERANDS(FAST)
  const long columns = extent[NDIM - 1], id = get_global_id(0), items = get_global_size(0);
  long misfit = columns | (out_fast != 1);
  ALL_OPERANDS(MISFIT)
  const int whole = misfit % LANES == 0;
  const long down = get_global_size(1);
  long row = get_global_id(1);
#if ROWS > 1
  if (whole)
    for (; row + (ROWS - 1) * down < rows; row += ROWS * down) {
      ALL_OPERANDS(NEW_BEGINNINGS)
      EACH_ROW {
        POSITIONS(row + k * down, NDIM, 1)
        ALL_OPERANDS(KEEP_BEGINNING)
      }
      for (long i = id * LANES; i < columns; i += items * LANES) {
        OPERANDS(NEW_ROWS)
        EACH_ROW { OPERANDS(LOAD_ROW) }
        EACH_ROW {
          OPERANDS(TAKE_ROW)
          STORE_VECTOR(out_begin[k] + i)
        }
      }
    }
#endif
  for (; row < rows; row += down) {
    POSITIONS(row, NDIM, 1)
    if (whole)
      for (long i = id * LANES; i < columns; i += items * LANES) EVALUATE_VECTOR(out_at + i)
    else
      for (long i = id; i < columns; i += items) EVALUATE_SINGLE(out_at + i * out_fast)
  }
}

#endif

#ifdef TILE
#undef AT
#define AT(x) x##_at + tile_row * x##_slow + tile_column * x##_fast
#define SLOW(X, x) const long x##_slow = x##_stride[NDIM - 2];
// A turned input comes through local memory, any other into registers, all of a tile before the first result.
#define NEW_TILE(X, x)                                                                                   \
  __local T_##X x##_tile[TURNED_##X ? TILE : 1][TILE + 1];                                               \
  T_##X x##_values[TURNED_##X ? 1 : TILE / DEEP];
#define EACH_PART                                                                                        \
  UNROLL_AXES                                                                                            \
  for (int k = 0; k < TILE; k += DEEP)
#define FILL_TILE(X, x)                                                                                  \
  EACH_PART {                                                                                            \
    const long tile_row = row + (TURNED_##X ? lx : ly + k), tile_column = column + (TURNED_##X ? ly + k : lx); \
    if (tile_row < rows && tile_column < columns) {                                                      \
      const T_##X value = X[AT(x)];                                                                      \
      if (TURNED_##X)                                                                                    \
        x##_tile[lx][ly + k] = value;                                                                    \
      else                                                                                               \
        x##_values[k / DEEP] = value;                                                                    \
    }                                                                                                    \
  }
#define LOAD_TILE(X, x)                                                                                  \
  const COMPUTE_##X x = READ_##X(TURNED_##X ? x##_tile[ly + k][lx] : x##_values[k / DEEP]);

__attribute__((reqd_work_group_size(TILE, DEEP, 1)))
__kernel void tiled(MEMORY, AXES(shape), AXES(out_strides) OPERANDS(STRIDES_ARGUMENT)) {
  AXES_ARRAY(extent, shape)
  ALL_OPERANDS(UNPACK_STRIDES)
  ALL_OPERANDS(FAST)
  ALL_OPERANDS(SLOW)
  OPERANDS(NEW_TILE)
  const long rows = extent[NDIM - 2], columns = extent[NDIM - 1];
  const long across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE;
  const long group = get_group_id(0);
  const long column = group % across * TILE, row = group / across % down * TILE;
  const int lx = get_local_id(0), ly = get_local_id(1);
  POSITIONS(group / across / down, NDIM, 2)
  OPERANDS(FILL_TILE)
  barrier(CLK_LOCAL_MEM_FENCE);
  EACH_PART {
    const long tile_row = row + ly + k, tile_column = column + lx;
    if (tile_row < rows && tile_column < columns) {
      OPERANDS(LOAD_TILE) STATEMENTS
      OUT[AT(out)] = WRITE(EXPRESSION);
    }
  }
}
#endif
#endif
