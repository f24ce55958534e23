"""How wide the vectors are that a device's compiler uses, for the kernels that have a form for each width."""

from functools import lru_cache

import numpy

from tensor.device import Device, OpenCLDevice
from tensor.kernel import built

LANES = 8  # float32 in a vector of AVX2
WIDE_LANES = 16  # … of AVX-512


@lru_cache(maxsize=64)
def lanes(device: Device) -> int:
    """WIDE_LANES where the compiler uses AVX-512, which the processor's widest vectors do not tell."""
    if not isinstance(device, OpenCLDevice) or device.raw.native_vector_width_float < WIDE_LANES:
        return LANES
    import pyopencl

    answer = numpy.zeros(1, numpy.int32)
    buffer = pyopencl.Buffer(device.context, pyopencl.mem_flags.READ_WRITE, answer.nbytes)
    ready = built(device, "avx512.cl", "has_avx512").bound([buffer])
    # Past our queue, since it may be recording.
    pyopencl.enqueue_nd_range_kernel(device.queue.raw, ready, (1,), (1,))
    pyopencl.enqueue_copy(device.queue.raw, answer, buffer, is_blocking=True)
    return WIDE_LANES if answer[0] else LANES


def defines(lanes: int) -> dict[str, int]:
    """The -D of cpu_vectors.h: none for its default, so that a program has one key."""
    return {} if lanes == LANES else {"LANES": lanes}
