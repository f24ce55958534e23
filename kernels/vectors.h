// A vector anywhere in memory, aligned to its elements only. (PoCL 3 calls a function for vload8.)
typedef float8 float8_anywhere __attribute__((aligned(4)));
typedef float4 float4_anywhere __attribute__((aligned(4)));
#define LOAD4(p) (*(const __global float4_anywhere *)(p))
#define STORE4(p, value) (*(__global float4_anywhere *)(p) = (value))
#define LOAD8(p) (*(const __global float8_anywhere *)(p))
#define STORE8(p, value) (*(__global float8_anywhere *)(p) = (value))
