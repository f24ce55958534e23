// sqrt of a `real` for optimizers' rules: one instruction on a CPU. (PoCL 3's own sqrt stays a call, so that no loop with it
// is vectorised.)
#if CPU
#undef sqrt
#if DOUBLE
#define sqrt __builtin_sqrt
#else
#define sqrt __builtin_sqrtf
#endif
#endif
