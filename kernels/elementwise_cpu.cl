// out[i] = EXPRESSION(a, b, …) on a CPU, over inputs of any layout. See elementwise.h for the defines.
//
// Defines besides: CONTIGUOUS, STRIDED or TILED, the one kernel that is wanted.
//
// Each kernel brings the work to one loop over at most BLOCK neighbouring elements, which the compiler vectorises: an
// operand that is dense there is read where it lies; another one is first copied to a block of its own. A CPU has one
// address space, so a pointer to either is a global pointer.
//
// contiguous  every operand is dense in the same order, or a single element (step 1 or 0): an item per `each` elements.
// strided     any layout, the last axis is the inner loop: an item per `each_column` columns and `each_row` rows. NARROW 1
//             where rows are too short to leave some elements of each to the end.
// tiled       some input is dense along the last axis but one instead (a transposition): an item per `each_row` rows and
//             `each_column` columns of these two axes.
//
// Results that are too many for any cache go past it (`STREAMED`), block by block: to store them in the ordinary way
// would read the lines first that they overwrite, a third of a copy's traffic. Such stores are ordered by nothing but locks:
// the driver takes one before it says that a kernel has ended.
#pragma clang diagnostic ignored "-Wpass-failed"  // some expressions cannot be vectorised
#define UNROLL_AXES
#define BLOCK 256
#define TILE 32
#include "elementwise.h"
#include "turn.h"

#define SOURCE(X, x) __global const T_##X *x##_from;
#define IN_PLACE(x, pointer) (__global const T_##x *)(ulong)(pointer)
#define LOAD(X, x) const COMPUTE_##X x = READ_##X(x##_from[j]);
// MANY take 32 elements at once, so that constants are loaded a quarter as often; of what is left each is one by itself.
#define MANY _Pragma("clang loop vectorize(assume_safety) interleave_count(4)")
#define FEW _Pragma("clang loop vectorize(assume_safety)")
#define EVALUATE(LOOP, TO, COUNT)                                                                        \
  LOOP for (int j = 0; j < (COUNT); ++j) {                                                               \
    OPERANDS(LOAD) STATEMENTS                                                                            \
    (TO)[j] = WRITE(EXPRESSION);                                                                       \
  }

#ifdef OVERWRITES
#define STREAMED(elements) 0  // what is overwritten has been read, so its lines are in a cache
#else
#define STREAMED(elements) ((elements) * sizeof(T_OUT) >= 32 << 20)  // bytes
#endif
#define LINE (32 / (int)sizeof(T_OUT))
typedef T_OUT line __attribute__((ext_vector_type(LINE)));
inline void stream(__global T_OUT *to, const T_OUT *from, const int count) {
  int j = 0;
  if ((ulong)to % sizeof(line) == 0)
    for (; j + LINE <= count; j += LINE)
      __builtin_nontemporal_store(*(const line *)(from + j), (__global line *)(to + j));
  for (; j < count; ++j) to[j] = from[j];
}

// `count` results to TO, which are stored in the ordinary way or streamed.
#define EVALUATE_TO(LOOP, TO, COUNT)                                                                     \
  {                                                                                                      \
    __global T_OUT *to = streamed ? (__global T_OUT *)(ulong)out_block : (TO);                           \
    EVALUATE(LOOP, to, COUNT)                                                                            \
    if (streamed) stream(TO, out_block, COUNT);                                                          \
  }

#ifdef CONTIGUOUS
#define SINGLE_BLOCK(X, x)                                                                               \
  T_##X x##_block[BLOCK];                                                                                \
  if (!x##_step)                                                                                         \
    for (int j = 0; j < BLOCK; ++j) x##_block[j] = X[x##_offset];
#define POINT_STEP(X, x)                                                                                 \
  __global const T_##X *x##_from = x##_step ? X + x##_offset + at : IN_PLACE(X, x##_block);

ONE_ITEM_A_GROUP
__kernel void contiguous(MEMORY, const long n, const long each OPERANDS(STEP_ARGUMENT)) {
  const long begin = get_global_id(0) * each, end = min(begin + each, n);
  const int streamed = STREAMED(n);
  T_OUT out_block[BLOCK] __attribute__((aligned(sizeof(line))));
  OPERANDS(SINGLE_BLOCK)
  for (long at = begin; at < end; at += BLOCK) {
    const int count = (int)min((long)BLOCK, end - at);
    OPERANDS(POINT_STEP)
    EVALUATE_TO(MANY, OUT + out_offset + at, count)
  }
}
#endif

#ifdef STRIDED
#ifdef NARROW
#define ALONG_ROW FEW
#else
#define NARROW 0
#define ALONG_ROW MANY
#endif
#define NEW_BLOCK(X, x)                                                                                  \
  T_##X x##_block[BLOCK];                                                                                \
  const long x##_fast = x##_stride[ndim - 1];
#define POINT_STRIDED(X, x)                                                                              \
  __global const T_##X *x##_from = X + x##_at + at * x##_fast;                                           \
  if (x##_fast != 1) {                                                                                   \
    if (x##_fast)                                                                                        \
      for (int j = 0; j < count; ++j) x##_block[j] = x##_from[j * x##_fast];                             \
    else if (at == first) {                                                                              \
      const T_##X single = *x##_from;                                                                    \
      for (int j = 0; j < count; ++j) x##_block[j] = single;                                             \
    }                                                                                                    \
    x##_from = IN_PLACE(X, x##_block);                                                                   \
  }

ONE_ITEM_A_GROUP
__kernel void strided(MEMORY, AXES(shape), const int ndim, const long rows, const long each_row,
                      const long each_column, AXES(out_strides) OPERANDS(STRIDES_ARGUMENT)) {
  AXES_ARRAY(extent, shape)
  ALL_OPERANDS(UNPACK_STRIDES)
  OPERANDS(NEW_BLOCK)
  T_OUT out_block[BLOCK] __attribute__((aligned(sizeof(line))));
  const long out_fast = out_stride[ndim - 1];
  const int streamed = !NARROW && STREAMED(rows * extent[ndim - 1]);
  const long first = get_global_id(0) * each_column;
  const long last = min(first + each_column, (long)extent[ndim - 1]);
  const long end_row = min((long)(get_global_id(1) + 1) * each_row, rows);
  for (long row = get_global_id(1) * each_row; row < end_row; ++row) {
    POSITIONS(row, ndim, 1)
    for (long at = first; at < last; at += BLOCK) {
      const int count = (int)min((long)BLOCK, last - at);
      OPERANDS(POINT_STRIDED)
      if (out_fast == 1)
        EVALUATE_TO(ALONG_ROW, OUT + out_at + at, count)
      else {
        __global T_OUT *to = OUT + out_at + at * out_fast;
        EVALUATE(FEW, out_block, count)
        for (int j = 0; j < count; ++j) to[j * out_fast] = out_block[j];
      }
    }
  }
}
#endif

#ifdef TILED
// Eight rows of eight elements, read along the rows of a source and written turned to a tile.
#define READ8(X, x, n) const x##_8 r##n = *(__global const x##_8 *)(from + n * x##_fast);
#define WRITE8(x, n) *(x##_8 *)(to + n * TILE) = c##n;
#define TURN8(X, x)                                                                                      \
  {                                                                                                      \
    typedef x##_8 T8;                                                                                    \
    __global const T_##X *from = x##_corner + j * x##_fast + i;                                          \
    T_##X *to = x##_tile + i * TILE + j;                                                                 \
    READ8(X, x, 0) READ8(X, x, 1) READ8(X, x, 2) READ8(X, x, 3) READ8(X, x, 4) READ8(X, x, 5) READ8(X, x, 6) READ8(X, x, 7) \
    TURN(T8)                                                                                             \
    WRITE8(x, 0) WRITE8(x, 1) WRITE8(x, 2) WRITE8(x, 3) WRITE8(x, 4) WRITE8(x, 5) WRITE8(x, 6) WRITE8(x, 7)\
  }
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define NEW_TILE(X, x)                                                                                   \
  typedef JOIN(T_##X, 8) x##_8 __attribute__((aligned(sizeof(T_##X))));                                  \
  T_##X x##_tile[TILE * TILE];                                                                           \
  const long x##_fast = x##_stride[ndim - 1], x##_slow = x##_stride[ndim - 2];
#define CORNER(X, x) __global const T_##X *x##_corner = X + x##_at + row * x##_slow + at * x##_fast;
#define FILL_TILE(X, x)                                                                                  \
  if (x##_fast != 1) {                                                                                   \
    if (x##_slow == 1 && height == TILE && width == TILE)                                                \
      for (int j = 0; j < TILE; j += 8)                                                                  \
        for (int i = 0; i < TILE; i += 8) TURN8(X, x)                                                    \
    else                                                                                                 \
      for (int j = 0; j < width; ++j)                                                                    \
        for (int i = 0; i < height; ++i) x##_tile[i * TILE + j] = x##_corner[j * x##_fast + i * x##_slow]; \
  }
// Piece i of the next tile of the same columns, to come meanwhile.
#define FETCH_NEXT(X, x)                                                                                 \
  if (x##_fast != 1 && x##_slow == 1 && i < width)                                                       \
    for (int j = 0; j < TILE; j += 64 / (int)sizeof(T_##X))                                              \
      __builtin_prefetch((const void *)(ulong)(x##_corner + i * x##_fast + TILE + j));
#define POINT_TILE(X, x)                                                                                 \
  __global const T_##X *x##_from = x##_fast == 1 ? x##_corner + i * x##_slow : IN_PLACE(X, x##_tile + i * TILE);

// Rows and columns are the last two axes; the output is dense along the last one.
ONE_ITEM_A_GROUP
__kernel void tiled(MEMORY, AXES(shape), const int ndim, const long each_row, const long each_column,
                    AXES(out_strides) OPERANDS(STRIDES_ARGUMENT)) {
  AXES_ARRAY(extent, shape)
  ALL_OPERANDS(UNPACK_STRIDES)
  OPERANDS(NEW_TILE)
  T_OUT out_block[TILE] __attribute__((aligned(sizeof(line))));
  long elements = 1;
  for (int axis = 0; axis < ndim; ++axis) elements *= extent[axis];
  const int streamed = STREAMED(elements);
  const long first_row = get_global_id(1) * each_row, first = get_global_id(0) * each_column;
  const long last_row = min(first_row + each_row, (long)extent[ndim - 2]);
  const long last = min(first + each_column, (long)extent[ndim - 1]);
  POSITIONS(get_global_id(2), ndim, 2)
  for (long at = first; at < last; at += TILE)
    for (long row = first_row; row < last_row; row += TILE) {
      const int height = (int)min((long)TILE, last_row - row), width = (int)min((long)TILE, last - at);
      OPERANDS(CORNER)
      OPERANDS(FILL_TILE)
      for (int i = 0; i < height; ++i) {
        if (row + TILE < last_row) {
          OPERANDS(FETCH_NEXT)
        }
        OPERANDS(POINT_TILE)
        if (width == TILE)
          EVALUATE_TO(MANY, OUT + out_at + (row + i) * out_stride[ndim - 2] + at, TILE)
        else
          EVALUATE_TO(FEW, OUT + out_at + (row + i) * out_stride[ndim - 2] + at, width)
      }
    }
}
#endif
