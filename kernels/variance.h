// What variance_cpu.cl and variance_gpu.cl share: a part of the elements is known by its count, its mean and M2, the sum of
// the squared distances from that mean.
//
// Two parts are merged by the rule of Chan, Golub and LeVeque (1983): with d the distance of the two means,
// M2 = M2a + M2b + d² na nb / (na + nb). All elements count from a pivot, one of those of their output: rounding is that of
// the spread, not of the mean, and what is constant has the variance 0 exactly. The pivot is the median of the first three,
// of which one may be far from the others.

// Of `before` + `count` elements, the latter have the mean `middle` and the squares `part`.
#define SHARES(before, count)                                                                            \
  const T_ACC fraction = (T_ACC)(count) / (T_ACC)((before) + (count)), weight = fraction * (T_ACC)(before);
#define MERGE(mean, squares, middle, part)                                                               \
  {                                                                                                      \
    const T_ACC apart = (middle) - (mean);                                                               \
    squares += (part) + apart * weight * apart;                                                          \
    mean += apart * fraction;                                                                            \
  }

#define LOW(a, b) ((a) < (b) ? (a) : (b))
#define HIGH(a, b) ((a) < (b) ? (b) : (a))
#define MEDIAN(a, b, c) HIGH(LOW(a, b), LOW(HIGH(a, b), c))

// Merges the chunks, whose means and then their squares are in `parts`; an item has `each` outputs.
__kernel void var_chunks(__global T_ACC *restrict out, const long out_offset, __global const T_ACC *restrict parts,
                         const long parts_offset, const int chunks, const long chunk, const long each, const long kept_count,
                         const long reduced_count, const T_ACC divisor) {
  const long last = min((long)(get_global_id(0) + 1) * each, kept_count);
  for (long o = get_global_id(0) * each; o < last; ++o) {
    T_ACC mean = 0, squares = 0;
    for (int s = 0; s < chunks; ++s) {
      const T_ACC middle = parts[parts_offset + s * kept_count + o], part = parts[parts_offset + (chunks + s) * kept_count + o];
      SHARES(s * chunk, min(chunk, reduced_count - s * chunk))
      MERGE(mean, squares, middle, part)
    }
    out[out_offset + o] = squares / divisor;
  }
}
