// Matrix product for CPUs where one side is narrow: out[l, j] = Σ over k of wide[l, k] · narrow[k, j], with few j.
//
// gemm_cpu.cl pads j to whole tiles, and packs. Here a tile of COLUMNS values of j, 1 to 8, and ROWS vectors of the wide
// side lies in the registers, and the wide side is read where it lies, once. Both sides are told by their strides, so
// that A · B with few columns and, turned, with few rows are one kernel.
//
//   narrow_along    the wide side is dense along k: vectors are LANES steps of k, and their lanes are added up at the
//                   end. ROWS values of l. The narrow side is packed, DEPTH steps at a time. K is at least LANES.
//   narrow_across   the wide side is dense along l: vectors are LANES values of l, ROWS of them. L is at least
//                   LANES · ROWS.
//
// NDRange (blocks of `each` values of l, stack), one work-item a group; `each` is a multiple of what a tile has.
// Defines: COLUMNS, ROWS · LANES: see cpu_vectors.h · TURNED 1 if the narrow matrix is the left one: arguments are in
// the order of the product
#include "common.h"
#include "cpu_vectors.h"

#define MOST_COLUMNS 16  // of the narrow side
#define DEPTH 256        // a multiple of LANES
#pragma OPENCL FP_CONTRACT ON

#define WIDE const __global float *restrict wide, long wide_offset
#define NARROW const __global float *restrict narrow, long narrow_offset
#if TURNED
#define BOTH NARROW, WIDE
#else
#define BOTH WIDE, NARROW
#endif
#define ARGUMENTS                                                                                              \
  __global float *restrict out, long out_offset, BOTH, const long out_stack, const long out_l,                 \
  const long out_j, const long wide_stack, const long wide_l, const long wide_k, const long narrow_stack,      \
  const long narrow_k, const long narrow_j, const int L, const int K, const int J, const int each
#define BEGIN                                                                                                  \
  out += out_offset + get_group_id(1) * out_stack;                                                             \
  wide += wide_offset + get_group_id(1) * wide_stack;                                                          \
  narrow += narrow_offset + get_group_id(1) * narrow_stack;                                                    \
  const int first = get_group_id(0) * each, last = min(first + each, L);

#define UNROLL _Pragma("unroll")
#define EACH_COLUMN UNROLL for (int c = 0; c < COLUMNS; ++c)
#define EACH_ROW UNROLL for (int r = 0; r < ROWS; ++r)
#define SUMS ((ROWS * COLUMNS + LANES - 1) / LANES * LANES)  // of a tile, in whole vectors
#define SHUFFLE __builtin_shufflevector

// The sums of the lanes of each of LANES vectors: of neighbours, then of four in a row, then of the fours.
static inline __attribute__((always_inline)) WIDE_VECTORS void lane_sums(const vector *v, float *to) {
#if LANES == 16
#define PAIR(a, b)                                                              \
  (SHUFFLE(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)     \
   + SHUFFLE(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31))
#define FOURS(a, b)                                                             \
  (SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)      \
   + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define QUARTER(i) PAIR(PAIR(v[i], v[i + 1]), PAIR(v[i + 2], v[i + 3]))
  const vector a = QUARTER(0), b = QUARTER(4), c = QUARTER(8), d = QUARTER(12);
  const vector ab = FOURS(a, b), cd = FOURS(c, d);
  *(vector_anywhere *)to = FOURS(ab, cd);
#else
#define PAIR(a, b) (SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15))
#define HALF(i) PAIR(PAIR(v[i], v[i + 1]), PAIR(v[i + 2], v[i + 3]))
  const vector a = HALF(0), b = HALF(4);
  *(vector_anywhere *)to = SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
#endif
}

WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void narrow_along(ARGUMENTS) {
  BEGIN
  // Tiles of COLUMNS, in them vectors of steps, in them columns: what the inner loop reads lies in its order.
  float packed[MOST_COLUMNS * DEPTH] __attribute__((aligned(64)));
  const int tail = K % LANES;  // steps of the last vector, which begins at K − LANES and whose first lanes do not count
#if LANES == 16
  const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  const int8 lane = (int8)(0, 1, 2, 3, 4, 5, 6, 7);
#endif
  for (int from = 0; from < K; from += DEPTH) {
    const int depth = min(DEPTH, K - from), whole = depth / LANES * LANES;
    for (int j = 0; j < (J + COLUMNS - 1) / COLUMNS * COLUMNS; ++j) {
      const __global float *source = narrow + min(j, J - 1) * narrow_j + from * narrow_k;
      float *to = packed + j / COLUMNS * (COLUMNS * DEPTH) + j % COLUMNS * LANES;
      for (int k = 0; k < whole; k += LANES, to += COLUMNS * LANES)
        for (int n = 0; n < LANES; ++n) to[n] = source[(k + n) * narrow_k];
      if (depth > whole)
        for (int n = 0; n < LANES; ++n) to[n] = n < LANES - tail ? 0.0f : source[(depth - LANES + n) * narrow_k];
    }
    for (int l = first; l < last; l += ROWS) {
      const __global float *row[ROWS];
      EACH_ROW row[r] = wide + min(l + r, last - 1) * wide_l + from;
      for (int j = 0; j < J; j += COLUMNS) {
        const float *right = packed + j * DEPTH;
        vector sum[SUMS];
        UNROLL for (int i = 0; i < SUMS; ++i) sum[i] = (vector)(0.0f);
        for (int k = 0; k < whole; k += LANES, right += COLUMNS * LANES) {
          vector left[ROWS];
          EACH_ROW left[r] = LOAD(row[r] + k);
          EACH_COLUMN {
            const vector value = *(const vector_anywhere *)(right + c * LANES);
            EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
          }
        }
        if (depth > whole) {
          vector left[ROWS];  // 0 and not what is there, which may be infinite
          EACH_ROW left[r] = lane >= LANES - tail ? LOAD(row[r] + depth - LANES) : (vector)(0.0f);
          EACH_COLUMN {
            const vector value = *(const vector_anywhere *)(right + c * LANES);
            EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
          }
        }
        float totals[SUMS];
        UNROLL for (int i = 0; i < SUMS; i += LANES) lane_sums(sum + i, totals + i);
        __global float *to = out + l * out_l + j * out_j;
        const int rows = last - l, columns = J - j;
        if (from == 0 && rows >= ROWS && columns >= COLUMNS) {
          EACH_ROW EACH_COLUMN to[r * out_l + c * out_j] = totals[r * COLUMNS + c];
        } else {
          for (int r = 0; r < min(rows, ROWS); ++r)
            for (int c = 0; c < min(columns, COLUMNS); ++c) {
              __global float *one = to + r * out_l + c * out_j;
              *one = totals[r * COLUMNS + c] + (from ? *one : 0.0f);
            }
        }
      }
    }
  }
}

WIDE_VECTORS __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void narrow_across(ARGUMENTS) {
  BEGIN
  for (int begin = first; begin < last; begin += LANES * ROWS) {
    const int l = min(begin, L - LANES * ROWS);  // the last tile computes again what the one before did, to the same bits
    for (int j = 0; j < J; j += COLUMNS) {
      const __global float *right[COLUMNS], *left_at = wide + l;
      EACH_COLUMN right[c] = narrow + min(j + c, J - 1) * narrow_j;
      vector sum[ROWS * COLUMNS];
      UNROLL for (int i = 0; i < ROWS * COLUMNS; ++i) sum[i] = (vector)(0.0f);
      long at = 0;
      for (int k = 0; k < K; ++k, at += narrow_k, left_at += wide_k) {
        vector left[ROWS];
        EACH_ROW left[r] = LOAD(left_at + LANES * r);
        EACH_COLUMN {
          const vector value = (vector)(right[c][at]);
          EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
        }
      }
      EACH_COLUMN if (j + c < J) {
        __global float *to = out + l * out_l + (j + c) * out_j;
        EACH_ROW {
          if (out_l == 1)
            STORE(to + LANES * r, sum[r * COLUMNS + c]);
          else
            UNROLL for (int n = 0; n < LANES; ++n) to[(LANES * r + n) * out_l] = sum[r * COLUMNS + c][n];
        }
      }
    }
  }
}
