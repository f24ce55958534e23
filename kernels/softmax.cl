// Softmax with cross-entropy on logits[n, k], one row of which belongs to one work-group.
//
// Defines: CPU · ITEMS work-items a group, a power of two (1 on a CPU). Global size (n * ITEMS,), or (n,) on a CPU.
// A label outside of 0 … k − 1 makes the loss NaN.
#include "common.h"

#if CPU
#define TREE(value, COMBINE)
#define SHARED
#else
// All items of the group end with COMBINE over their values.
#define TREE(value, COMBINE)                                             \
  barrier(CLK_LOCAL_MEM_FENCE);                                          \
  shared[item] = value;                                                  \
  for (int half_ = ITEMS / 2; half_ > 0; half_ /= 2) {                   \
    barrier(CLK_LOCAL_MEM_FENCE);                                        \
    if (item < half_) shared[item] = COMBINE(shared[item], shared[item + half_]); \
  }                                                                      \
  barrier(CLK_LOCAL_MEM_FENCE);                                          \
  value = shared[0]
#define SHARED __local float shared[ITEMS];
#endif
#define PLUS(p, q) ((p) + (q))

// The largest logit of this item's row, and the sum of exp(logit − largest).
#define ROW_SUM                                                          \
  SHARED                                                                 \
  const int item = get_local_id(0);                                      \
  const long row = get_group_id(0);                                      \
  __global const float *from = logits + offset + row * k;                \
  float largest = -INFINITY;                                             \
  for (int j = item; j < k; j += ITEMS) largest = fmax(largest, from[j]); \
  TREE(largest, fmax);                                                   \
  float total = 0;                                                       \
  for (int j = item; j < k; j += ITEMS) total += exp(from[j] - largest); \
  TREE(total, PLUS)

__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void forward(const int k, __global const float *restrict logits, const long offset,
                      __global const int *restrict labels, const long labels_offset, __global float *restrict losses) {
  ROW_SUM;
  if (item == 0) {
    const int label = labels[labels_offset + row];
    losses[row] = label < 0 || label >= k ? NAN : log(total) - (from[label] - largest);
  }
}

__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void backward(const int k, __global const float *restrict logits, const long offset,
                       __global const int *restrict labels, const long labels_offset,
                       __global const float *restrict dlosses, const long dlosses_offset, const long dlosses_step,
                       __global float *restrict dlogits) {
  ROW_SUM;
  const int label = labels[labels_offset + row];
  const float dloss = dlosses[dlosses_offset + row * dlosses_step];
  for (int j = item; j < k; j += ITEMS)
    dlogits[row * k + j] = (exp(from[j] - largest) / total - (j == label ? 1.0f : 0.0f)) * dloss;
}
