// Whether what is compiled here may use the vectors of AVX-512: a driver tells what the processor has, but may compile for an
// older one.
__kernel void has_avx512(__global int *out) {
#ifdef __AVX512F__
  out[0] = 1;
#else
  out[0] = 0;
#endif
}
