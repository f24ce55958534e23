// What every kernel of ours begins with. CPU is 1 on CPU devices, 0 elsewhere.
// Contraction off: a*b+c must give the same bits on every device.
#pragma OPENCL FP_CONTRACT OFF
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif

#if CPU
#define ONE_ITEM_A_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#else
#define ONE_ITEM_A_GROUP
#endif
