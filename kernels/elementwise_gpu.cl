// out[i] = EXPRESSION(a, b, …) on a GPU, over inputs of any layout. See elementwise.h for the defines.
//
// LANES neighbouring elements (16 bytes of the widest type) are one load and one store wherever all operands allow it;
// whether they do is the same for all work-items of a launch.
//
// contiguous  every operand is dense in the same order, or a single element (step 1 or 0). Global size (any,).
// strided     any layout, -D NDIM axes; work-items along x take columns (the last axis), along y rows (all others).
// tiled       some input is dense along the last axis but one (a transposition): groups of TILE × 8 work-items take a
//             tile of the last two axes each, through local memory. Global size (tiles · TILE, 8).
#define UNROLL_AXES _Pragma("unroll")
#define TILE 32
#include "elementwise.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define VECTOR(T) JOIN(T, LANES)
#if LANES == 4
#define EACH_LANE(F) F(s0) F(s1) F(s2) F(s3)
#else
#define EACH_LANE(F) F(s0) F(s1)
#endif

#define LOAD_SINGLE(X, x) const COMPUTE_##X x = (COMPUTE_##X)X[AT(x)];
#define EVALUATE_SINGLE(TO)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_SINGLE) STATEMENTS                                                                     \
    OUT[TO] = (T_OUT)(EXPRESSION);                                                                       \
  }
#define LOAD_VECTOR(X, x)                                                                                \
  const VECTOR(T_##X) x##_vector = IS_DENSE(x) ? *(__global const VECTOR(T_##X) *)(X + AT(x)) : (VECTOR(T_##X))(X[AT(x)]);
#define EVALUATE_LANE(lane)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_LANE_##lane) STATEMENTS                                                                \
    out_vector.lane = (T_OUT)(EXPRESSION);                                                               \
  }
#define LOAD_LANE_s0(X, x) const COMPUTE_##X x = (COMPUTE_##X)x##_vector.s0;
#define LOAD_LANE_s1(X, x) const COMPUTE_##X x = (COMPUTE_##X)x##_vector.s1;
#define LOAD_LANE_s2(X, x) const COMPUTE_##X x = (COMPUTE_##X)x##_vector.s2;
#define LOAD_LANE_s3(X, x) const COMPUTE_##X x = (COMPUTE_##X)x##_vector.s3;
#define EVALUATE_VECTOR(TO)                                                                              \
  {                                                                                                      \
    OPERANDS(LOAD_VECTOR)                                                                                \
    VECTOR(T_OUT) out_vector;                                                                            \
    EACH_LANE(EVALUATE_LANE)                                                                             \
    *(__global VECTOR(T_OUT) *)(OUT + (TO)) = out_vector;                                                \
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
  for (long row = get_global_id(1); row < rows; row += get_global_size(1)) {
    POSITIONS(row, NDIM, 1)
    if (whole)
      for (long i = id * LANES; i < columns; i += items * LANES) EVALUATE_VECTOR(out_at + i)
    else
      for (long i = id; i < columns; i += items) EVALUATE_SINGLE(out_at + i * out_fast)
  }
}

#undef AT
#define AT(x) x##_at + tile_row * x##_slow + tile_column * x##_fast
#define SLOW(X, x) const long x##_slow = x##_stride[NDIM - 2];
#define NEW_TILE(X, x)                                                                                   \
  __local T_##X x##_tile[TILE][TILE + 1];                                                                \
  const int x##_turned = x##_fast != 1 && x##_slow == 1;
#define FILL_TILE(X, x)                                                                                  \
  if (x##_turned) {                                                                                      \
    UNROLL_AXES                                                                                          \
    for (int k = 0; k < TILE; k += 8) {                                                                  \
      const long tile_row = row + lx, tile_column = column + ly + k;                                                      \
      if (tile_row < rows && tile_column < columns) x##_tile[lx][ly + k] = X[AT(x)];                                      \
    }                                                                                                    \
  }
#define LOAD_TILE(X, x) const COMPUTE_##X x = (COMPUTE_##X)(x##_turned ? x##_tile[ly + k][lx] : X[AT(x)]);

#if NDIM > 1
__attribute__((reqd_work_group_size(TILE, 8, 1)))
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
  UNROLL_AXES
  for (int k = 0; k < TILE; k += 8) {
    const long tile_row = row + ly + k, tile_column = column + lx;
    if (tile_row < rows && tile_column < columns) {
      OPERANDS(LOAD_TILE) STATEMENTS
      OUT[AT(out)] = (T_OUT)(EXPRESSION);
    }
  }
}
#endif
#endif
