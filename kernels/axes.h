// Up to eight sizes or strides as an argument: an int8, or with WIDE 1, where one needs 64 bits, two of long4 (PoCL 3
// breaks on vectors of 64 bytes). AXES_ARRAY makes an array of them.
#if WIDE
#define AXIS long
#define AXES(name) const long4 name##_low, const long4 name##_high
#define AXES_ARRAY(array, name)                                                                          \
  const long array[8] = {name##_low.s0,  name##_low.s1,  name##_low.s2,  name##_low.s3,                   \
                         name##_high.s0, name##_high.s1, name##_high.s2, name##_high.s3};
#else
#define AXIS int
#define AXES(name) const int8 name
#define AXES_ARRAY(array, name)                                                                          \
  const int array[8] = {name.s0, name.s1, name.s2, name.s3, name.s4, name.s5, name.s6, name.s7};
#endif
