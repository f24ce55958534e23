// The 8-bit codecs. mesh/codec/nearest.py has the theory and is the specification, bit for bit.
//
//   BLOCK     values to a scale
//   LANES     work-items that share a block: 1 on a CPU, a power of two, at most 32, on a GPU
//   ROWS      blocks of one group of ROWS * LANES work-items
//   SHUFFLE   1: 32 lanes run in step and exchange values by NVIDIA's shuffles; 0: through local memory
//   WIDTH     values that a work-item moves at a time: 8 on a CPU, 4 on a GPU
//   TOGETHER  values that it computes at a time: WIDTH where there are vector registers, else 1
//   ALIGNED   alignment, in values, of the vectors of values and codes: WIDTH where it is known, else 1
//   ADAPTIVE  1: each block by the tree or by the linear book; 0: by the tree
//
// All are #defined in front of this text.
//
// Only products, sums and comparisons decide, which every device rounds alike. The one quotient, 1 / scale, says where
// to look and need not be exact. Hot loops use operators only: PoCL leaves its built-in functions (vload, fabs, floor,
// min, select) as calls, which spill every register and took bins of the time.

#pragma OPENCL FP_CONTRACT OFF

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#if TOGETHER == 1
#define OF(name) name
#else
#define OF(name) JOIN(name, TOGETHER)
#endif
#define FLOATS OF(float)
#define INTS OF(int)
#define CODES OF(uchar)
#define AS_FLOATS(x) OF(as_float)(x)
#define AS_INTS(x) OF(as_int)(x)
#define TO_FLOATS(x) OF(convert_float)(x)
#define TO_INTS(x) OF(convert_int)(x)
#define TO_CODES(x) OF(convert_uchar)(x)
#define INLINE static inline __attribute__((always_inline))

typedef JOIN(float, WIDTH) AllValues __attribute__((aligned(4 * ALIGNED)));
typedef JOIN(uchar, WIDTH) AllCodes __attribute__((aligned(ALIGNED)));

// WIDTH values or codes, as they are moved, as they are computed, and one by one.
typedef union {
    AllValues all;
    FLOATS part[WIDTH / TOGETHER];
    float each[WIDTH];
} Values;
typedef union {
    AllCodes all;
    CODES part[WIDTH / TOGETHER];
    uchar each[WIDTH];
} Codes;
#define EACH_PART(n) int n = 0; n < WIDTH / TOGETHER; n++

#define SIZE_BITS 0x7fffffff
#define INFINITE 0x7f800000
#define SMALLEST_NORMAL 0x1p-126f
#define LIFT 0x1p64f
#define UPWARDS 1.00000095367431640625f  // 1 + 2^-20: no quotient is too small, so |x| <= the upper neighbour
#define ERROR_STEPS 16

// What the comparisons of one block need; `lift` brings its scale and values to the middle of float's range.
typedef struct {
    float scale;     // lifted
    float quotient;  // about 1 / scale
    float lift;
    float least;     // a value below it, not lifted yet, counts as 0
    float floor;     // a product below it decodes to 0
} Block;

INLINE Block block_of(float scale) {
    Block block;
    const int small = scale < 0x1p-60f, large = scale > 0x1p60f;
    block.lift = small ? LIFT : large ? 1 / LIFT : 1.0f;
    block.least = large ? SMALLEST_NORMAL * LIFT : SMALLEST_NORMAL;
    block.floor = small ? SMALLEST_NORMAL * LIFT : 0.0f;
    block.scale = scale * block.lift;
    block.quotient = scale > 0 ? UPWARDS / block.scale : 0.0f;
    return block;
}

// Lifted magnitudes, where what is too small to count is 0.
INLINE FLOATS sizes_of(FLOATS x, Block block) {
    const FLOATS size = AS_FLOATS(AS_INTS(x) & SIZE_BITS);
    return (size < block.least ? (FLOATS)(0.0f) : size) * block.lift;
}

// The two neighbours of a quotient in a book, before the product with the scale, and the index of the lower one.
typedef struct {
    FLOATS lower, upper;
    INTS index;
} Bracket;

// Decade k: its unit 10^(k-5) / (40 * 2^k), nearest float, and its first value, 4h + 7 units with h = 2^k.
#define UNIT_0 2.5e-7f
#define UNIT_1 1.25e-6f
#define UNIT_2 6.25e-6f
#define UNIT_3 3.125e-5f
#define UNIT_4 1.5625e-4f
#define UNIT_5 7.8125e-4f
#define FIRST(h, unit) ((4.0f * (h) + 7.0f) * (unit))

// One of six constants by the decade, 0 ... 5.
#if defined(__AVX2__) && TOGETHER == 8
#define BY_DECADE(k, c0, c1, c2, c3, c4, c5) \
    __builtin_ia32_permvarsf256((float8)(c0, c1, c2, c3, c4, c5, c5, c5), k)
#else
#define BY_DECADE(k, c0, c1, c2, c3, c4, c5)                                                  \
    (k < 3 ? (k < 1 ? (FLOATS)(c0) : (k < 2 ? (FLOATS)(c1) : (FLOATS)(c2)))                   \
           : (k < 4 ? (FLOATS)(c3) : (k < 5 ? (FLOATS)(c4) : (FLOATS)(c5))))
#endif

INLINE Bracket in_tree(FLOATS q) {
    // The decade from q's bits, which grow almost as its logarithm. A bracket that lies next to the right one is as
    // good, as long as q is nearer to the value they share than to the next: that leaves room for this straight line.
    INTS k = TO_INTS(TO_FLOATS(AS_INTS(q)) * (1.0f / (3.255f * 0x1p23f)) + ((3.245f - 127.0f) / 3.255f + 6.0f)) - 1;
    k = k < 0 ? (INTS)(0) : k;
    const FLOATS h = AS_FLOATS((k + 127) << 23);
    const FLOATS unit = BY_DECADE(k, UNIT_0, UNIT_1, UNIT_2, UNIT_3, UNIT_4, UNIT_5);
    const FLOATS per_unit = BY_DECADE(k, 1 / UNIT_0, 1 / UNIT_1, 1 / UNIT_2, 1 / UNIT_3, 1 / UNIT_4, 1 / UNIT_5);
    const FLOATS next = BY_DECADE(k, FIRST(2.0f, UNIT_1), FIRST(4.0f, UNIT_2), FIRST(8.0f, UNIT_3),
                                  FIRST(16.0f, UNIT_4), FIRST(32.0f, UNIT_5), 1.0f);

    // In units: 4h + 7 + 14i in the decade's lower part, 18h + 11 + 22i in its upper part, i = 0 ... h - 1.
    const FLOATS t = q * per_unit;
    const FLOATS middle = 18.0f * h + 11.0f;
    const INTS high = t >= middle;
    const FLOATS start = high ? middle : 4.0f * h + 7.0f;
    const FLOATS step = high ? (FLOATS)(22.0f) : (FLOATS)(14.0f);
    const FLOATS per_step = high ? (FLOATS)(1.0f / 22.0f) : (FLOATS)(1.0f / 14.0f);
    const FLOATS last = h - 1.0f;
    FLOATS i = TO_FLOATS(TO_INTS((t - start) * per_step));  // towards 0, and t is never a whole step below start
    i = i > last ? last : i;
    const FLOATS lower = start + step * i;

    // The upper neighbour is the next in this part; after a part's last, the first of what follows.
    const INTS at_end = i == last;
    const FLOATS upper = at_end ? middle : lower + step;

    Bracket bracket;
    bracket.lower = lower * unit;
    bracket.upper = at_end & high ? next : upper * unit;
    bracket.index = TO_INTS(h + last + i + (high ? h : (FLOATS)(0.0f)));

    const INTS tiny = q < FIRST(1.0f, UNIT_0);  // between 0 and the smallest value
    bracket.lower = tiny ? (FLOATS)(0.0f) : bracket.lower;
    bracket.upper = tiny ? (FLOATS)(FIRST(1.0f, UNIT_0)) : bracket.upper;
    bracket.index = tiny ? (INTS)(0) : bracket.index;
    return bracket;
}

INLINE Bracket in_linear(FLOATS q) {
    const float unit = 1.0f / 127.0f;
    INTS index = TO_INTS(q * 127.0f);
    index = index > 126 ? (INTS)(126) : index;
    Bracket bracket;
    bracket.lower = TO_FLOATS(index) * unit;
    bracket.upper = TO_FLOATS(index + 1) * unit;
    bracket.index = index;
    return bracket;
}

// The rule: the upper candidate where it is strictly nearer. Gives the magnitude's index, and leaves the candidate.
INLINE INTS nearest(Bracket bracket, FLOATS size, Block block, FLOATS *candidate) {
    FLOATS below = bracket.lower * block.scale;
    const FLOATS above = bracket.upper * block.scale;
    below = below < block.floor ? (FLOATS)(0.0f) : below;
    const INTS up = size - below > above - size;
    *candidate = up ? above : below;
    const INTS index = up ? bracket.index + 1 : bracket.index;
    return *candidate == 0.0f ? (INTS)(0) : index;
}

INLINE CODES codes_of(FLOATS x, Block block, int linear) {
    const FLOATS size = sizes_of(x, block);
    FLOATS candidate;
    INTS index, code;
    if (linear) {
        index = code = nearest(in_linear(size * block.quotient), size, block, &candidate);
    } else {
        index = nearest(in_tree(size * block.quotient), size, block, &candidate);
        code = index == 127 ? index : index - 1;
        code = index == 0 ? (INTS)(126) : code;
    }
    const INTS negative = (x < 0.0f) & (index > 0);
    return TO_CODES(negative ? code | 128 : code);
}

// Squared errors in whole steps, rounded up.
INLINE INTS squared_errors(FLOATS size, FLOATS candidate, float steps) {
    const FLOATS error = AS_FLOATS(AS_INTS(size - candidate) & SIZE_BITS);
    const INTS whole = TO_INTS(error * steps);
    const INTS count = error > 0.0f ? whole + 1 : whole;
    return count * count;
}

// The last vector of a block may be shorter: it is filled up with zeros.
INLINE Values load(const __global float *x, uint count) {
    Values values;
    if (count >= WIDTH)
        values.all = *(const __global AllValues *)x;
    else
        for (uint i = 0; i < WIDTH; i++) values.each[i] = i < count ? x[i] : 0.0f;
    return values;
}

INLINE void store(__global uchar *out, Codes codes, uint count) {
    if (count >= WIDTH)
        *(__global AllCodes *)out = codes.all;
    else
        for (uint i = 0; i < WIDTH; i++)
            if (i < count) out[i] = codes.each[i];
}

// The places of this work-item's vectors in its block.
#define EACH_VECTOR(i) uint i = lane * WIDTH; i < count; i += LANES * WIDTH

// The largest magnitude's bits: as integers NaN is above infinity, and nothing is rounded or flushed.
INLINE int largest_bits(const __global float *x, uint count, uint lane) {
    INTS top = 0;
    for (EACH_VECTOR(i)) {
        const Values values = load(x + i, count - i);
        for (EACH_PART(n)) {
            const INTS bits = AS_INTS(values.part[n]) & SIZE_BITS;
            top = bits > top ? bits : top;
        }
    }
    union { INTS all; int each[TOGETHER]; } tops;
    tops.all = top;
    int largest = 0;
    for (int n = 0; n < TOGETHER; n++) largest = tops.each[n] > largest ? tops.each[n] : largest;
    return largest;
}

INLINE void report_bad(const __global float *x, uint start, uint count, uint lane, __global uint *first_bad) {
    for (uint i = lane; i < count; i += LANES)
        if ((as_int(x[i]) & SIZE_BITS) >= INFINITE) {
            atomic_min(first_bad, start + i);
            return;
        }
}

// Difference of this work-item's squared errors: by the linear book less by the tree.
INLINE long linear_less_tree(const __global float *x, uint count, uint lane, Block block) {
    const float steps = as_float((127 + ERROR_STEPS + 127 - (as_int(block.scale) >> 23)) << 23);
    long difference = 0;
    for (EACH_VECTOR(i)) {
        const Values values = load(x + i, count - i);
        for (EACH_PART(n)) {
            const FLOATS size = sizes_of(values.part[n], block);
            const FLOATS q = size * block.quotient;
            FLOATS by_tree, by_line;
            nearest(in_tree(q), size, block, &by_tree);
            nearest(in_linear(q), size, block, &by_line);
            union { INTS all; int each[TOGETHER]; } more;
            more.all = squared_errors(size, by_line, steps) - squared_errors(size, by_tree, steps);
            for (int m = 0; m < TOGETHER; m++) difference += more.each[m];
        }
    }
    return difference;
}

// What all lanes of a block know together. Every lane of the group has to come here.
#if LANES == 1
#define LARGEST_OF_LANES(value) (value)
#define SUM_OF_LANES(value) (value)
#elif SHUFFLE
INLINE int from_lane(int value, uint distance) {
    int other;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(other) : "r"(value), "r"(distance));
    return other;
}

INLINE int LARGEST_OF_LANES(int value) {
    for (uint distance = LANES / 2; distance > 0; distance /= 2) value = max(value, from_lane(value, distance));
    return value;
}

INLINE long SUM_OF_LANES(long value) {
    for (uint distance = LANES / 2; distance > 0; distance /= 2) {
        const int2 halves = as_int2(value);
        value += as_long((int2)(from_lane(halves.x, distance), from_lane(halves.y, distance)));
    }
    return value;
}
#else
#define OVER_LANES(shared, value, combine)                                        \
    shared[get_local_id(0)] = value;                                              \
    for (uint distance = LANES / 2; distance > 0; distance /= 2) {                \
        barrier(CLK_LOCAL_MEM_FENCE);                                             \
        const long other = shared[get_local_id(0) ^ distance];                    \
        barrier(CLK_LOCAL_MEM_FENCE);                                             \
        value = combine(value, other);                                            \
        shared[get_local_id(0)] = value;                                          \
    }
#define PLUS(a, b) ((a) + (b))

INLINE long largest_through(__local long *shared, long value) {
    OVER_LANES(shared, value, max)
    return value;
}

INLINE long sum_through(__local long *shared, long value) {
    OVER_LANES(shared, value, PLUS)
    return value;
}

#define LARGEST_OF_LANES(value) (int)largest_through(shared, value)
#define SUM_OF_LANES(value) sum_through(shared, value)
#define NEEDS_LOCAL
#endif

// Which block and which lane this work-item has; `count` is 0 for rows beyond the last block.
#define FIND_PLACE                                                                \
    const uint lane = get_local_id(0) % LANES;                                    \
    const uint blocks = size / BLOCK + (size % BLOCK > 0);                        \
    const uint number = get_group_id(0) * ROWS + get_local_id(0) / LANES;         \
    const size_t start = (size_t)number * BLOCK;                                  \
    const uint count = number >= blocks ? 0 : size - start < BLOCK ? size - start : BLOCK;

// x: float[size] from x_offset on. payload: 4 bytes for each block and then 1 for each value. first_bad: one uint,
// lowered to the first index that is NaN or infinite; the payload is then of no use.
__kernel void encode(const __global float *x, ulong x_offset, uint size, __global uchar *payload,
                     __global uint *first_bad) {
#ifdef NEEDS_LOCAL
    __local long shared[ROWS * LANES];
#endif
    FIND_PLACE
    x += x_offset + start;
    __global float *scales = (__global float *)payload;
    __global uchar *codes = payload + 4 * (size_t)blocks + start;

    int top = LARGEST_OF_LANES(largest_bits(x, count, lane));
    if (top >= INFINITE) {
        report_bad(x, start, count, lane, first_bad);
        top = 0;
    }
    const float scale = as_float(top) < SMALLEST_NORMAL ? 0.0f : as_float(top);
    const Block block = block_of(scale);

    int linear = 0;
#if ADAPTIVE
    linear = SUM_OF_LANES(linear_less_tree(x, count, lane, block)) < 0 && scale > 0.0f;
#endif

    for (EACH_VECTOR(i)) {
        const Values values = load(x + i, count - i);
        Codes found;
        for (EACH_PART(n)) found.part[n] = codes_of(values.part[n], block, linear);
        store(codes + i, found, count - i);
    }
    if (lane == 0 && count > 0) scales[number] = linear ? -scale : scale;
}

// payload: as above, from the byte payload_offset on, a multiple of 4. out: float[size]. table: float[512], what each
// code of the tree and then of the linear book means.
__kernel void decode(const __global uchar *payload, ulong payload_offset, uint size,
                     const __global float *table, __global float *out) {
    FIND_PLACE
    if (count == 0) return;
    payload += payload_offset;
    const float scale = ((const __global float *)payload)[number];
    const __global uchar *codes = payload + 4 * (size_t)blocks + start;
    out += start;
    const Block block = block_of(scale < 0.0f ? -scale : scale);
    if (scale < 0.0f) table += 256;

    if (block.lift != 1.0f) {
        for (uint i = lane; i < count; i += LANES) {
            const float product = table[codes[i]] * block.scale;
            out[i] = fabs(product) < block.floor ? 0.0f : product / block.lift;
        }
        return;
    }
#if LANES == 1
    for (uint i = 0; i < count; i++) out[i] = table[codes[i]] * block.scale;
#else
    for (EACH_VECTOR(i)) {
        if (i + WIDTH > count) {
            for (uint n = i; n < count; n++) out[n] = table[codes[n]] * block.scale;
            return;
        }
        Codes code;
        Values value;
        code.all = *(const __global AllCodes *)(codes + i);
        for (int n = 0; n < WIDTH; n++) value.each[n] = table[code.each[n]] * block.scale;
        *(__global AllValues *)(out + i) = value.all;
    }
#endif
}
