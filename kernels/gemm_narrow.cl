// Matrix product for CPUs where one side is narrow: out[l, j] = Σ over k of wide[l, k] · narrow[k, j], with few j.
//
// gemm_cpu.cl pads j to tiles of 16, and packs. Here a tile of COLUMNS values of j, 1 to 8, and ROWS vectors of the wide
// side fills the registers, and the wide side is read where it lies, once. Both sides are told by their strides, so
// that A · B with few columns and, turned, with few rows are one kernel.
//
//   narrow_along    the wide side is dense along k: vectors are 8 steps of k, and their lanes are added up at the end.
//                   ROWS values of l. The narrow side is packed, DEPTH steps at a time. K is at least 8.
//   narrow_across   the wide side is dense along l: vectors are 8 values of l, ROWS of them. L is at least 8 · ROWS.
//
// NDRange (blocks of `each` values of l, stack), one work-item a group; `each` is a multiple of what a tile has.
// Defines: COLUMNS, ROWS · TURNED 1 if the narrow matrix is the left one: arguments are in the order of the product
#include "common.h"
#include "vectors.h"

#define MOST_COLUMNS 16  // of the narrow side
#define DEPTH 256        // a multiple of 8
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
#define SHUFFLE __builtin_shufflevector

// The sums of the lanes of eight vectors.
static inline __attribute__((always_inline)) float8 lane_sums(const float8 *v) {
#define PAIR(a, b) (SHUFFLE(v[a], v[b], 0, 8, 2, 10, 4, 12, 6, 14) + SHUFFLE(v[a], v[b], 1, 9, 3, 11, 5, 13, 7, 15))
#define FOUR(a, b) (SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15))
  const float8 ab = PAIR(0, 1), cd = PAIR(2, 3), ef = PAIR(4, 5), gh = PAIR(6, 7);
  const float8 abcd = FOUR(ab, cd), efgh = FOUR(ef, gh);
  return SHUFFLE(abcd, efgh, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(abcd, efgh, 4, 5, 6, 7, 12, 13, 14, 15);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void narrow_along(ARGUMENTS) {
  BEGIN
  float packed[MOST_COLUMNS * DEPTH] __attribute__((aligned(64)));
  const int tail = K % 8;  // steps of the last vector, which begins at K − 8 and whose first lanes do not count
  const int8 lane = (int8)(0, 1, 2, 3, 4, 5, 6, 7);
  for (int from = 0; from < K; from += DEPTH) {
    const int depth = min(DEPTH, K - from), whole = depth / 8 * 8;
    for (int j = 0; j < (J + COLUMNS - 1) / COLUMNS * COLUMNS; ++j) {
      const __global float *source = narrow + min(j, J - 1) * narrow_j + from * narrow_k;
      for (int k = 0; k < whole; ++k) packed[j * DEPTH + k] = source[k * narrow_k];
      if (depth > whole)
        for (int k = 0; k < 8; ++k)
          packed[j * DEPTH + whole + k] = k < 8 - tail ? 0.0f : source[(depth - 8 + k) * narrow_k];
    }
    for (int l = first; l < last; l += ROWS) {
      const __global float *row[ROWS];
      EACH_ROW row[r] = wide + min(l + r, last - 1) * wide_l + from;
      for (int j = 0; j < J; j += COLUMNS) {
        const float *right = packed + j * DEPTH;
        float8 sum[ROWS * COLUMNS + 7];  // whole eights
        UNROLL for (int i = 0; i < ROWS * COLUMNS + 7; ++i) sum[i] = (float8)(0.0f);
        for (int k = 0; k < whole; k += 8) {
          float8 left[ROWS];
          EACH_ROW left[r] = LOAD8(row[r] + k);
          EACH_COLUMN {
            const float8 value = *(const float8_anywhere *)(right + c * DEPTH + k);
            EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
          }
        }
        if (depth > whole) {
          float8 left[ROWS];  // 0 and not what is there, which may be infinite
          EACH_ROW left[r] = lane >= 8 - tail ? LOAD8(row[r] + depth - 8) : (float8)(0.0f);
          EACH_COLUMN {
            const float8 value = *(const float8_anywhere *)(right + c * DEPTH + whole);
            EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
          }
        }
        float totals[ROWS * COLUMNS + 7];
        UNROLL for (int i = 0; i < ROWS * COLUMNS; i += 8) *(float8_anywhere *)(totals + i) = lane_sums(sum + i);
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

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void narrow_across(ARGUMENTS) {
  BEGIN
  for (int begin = first; begin < last; begin += 8 * ROWS) {
    const int l = min(begin, L - 8 * ROWS);  // the last tile computes again what the one before did, to the same bits
    for (int j = 0; j < J; j += COLUMNS) {
      const __global float *right[COLUMNS], *left_at = wide + l;
      EACH_COLUMN right[c] = narrow + min(j + c, J - 1) * narrow_j;
      float8 sum[ROWS * COLUMNS];
      UNROLL for (int i = 0; i < ROWS * COLUMNS; ++i) sum[i] = (float8)(0.0f);
      long at = 0;
      for (int k = 0; k < K; ++k, at += narrow_k, left_at += wide_k) {
        float8 left[ROWS];
        EACH_ROW left[r] = LOAD8(left_at + 8 * r);
        EACH_COLUMN {
          const float8 value = (float8)(right[c][at]);
          EACH_ROW sum[r * COLUMNS + c] += left[r] * value;
        }
      }
      EACH_COLUMN if (j + c < J) {
        __global float *to = out + l * out_l + (j + c) * out_j;
        EACH_ROW {
          if (out_l == 1)
            STORE8(to + 8 * r, sum[r * COLUMNS + c]);
          else
            UNROLL for (int n = 0; n < 8; ++n) to[(8 * r + n) * out_l] = sum[r * COLUMNS + c][n];
        }
      }
    }
  }
}
