"""N-dimensional arrays on any OpenCL device, or on NumPy where there is none."""
