// Walking over an array of which one axis is picked by a table: step m along that axis is to `table[m]`, in elements,
// not to m * stride. A step of MISSING (an index out of range) leads nowhere, and nothing is read or written there.
#define MISSING LONG_MIN

// Eight numbers as an argument. Two halves, since PoCL 3.0 crashes with vectors of 64 bytes on a CPU that it knows
// without AVX-512.
#define LONGS(name) const long4 name##_begin, const long4 name##_end
#define UNPACK(values, name) \
  long name[8]; \
  vstore4(values##_begin, 0, name); \
  vstore4(values##_end, 1, name);

// Where the element `index` of an axis lies, added to `at`; `there` becomes 0 if it lies nowhere.
#define MOVE(index, axis) \
  { \
    const long step = axis == table_axis ? table[index] : (long)index * stride[axis]; \
    if (step == MISSING) \
      there = 0; \
    else \
      at += step; \
  }
