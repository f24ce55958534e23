"""A kernel enqueued by OpenCL's own function, past pyopencl: what each launch costs.

pyopencl asks the driver for an event at each launch, which nobody has a use for. Its extension module is
linked with OpenCL's library, so the function is found through it where the system's loader looks into a
library's own libraries; elsewhere (Windows) launches go on through pyopencl. As there, the interpreter stays
locked meanwhile, which is quicker than to unlock it.
"""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from typing import Any

Sizes = tuple[int, ...]


@cache
def _function() -> Any:
    import pyopencl

    try:
        function = ctypes.PyDLL(pyopencl._cl.__file__).clEnqueueNDRangeKernel
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return function


def direct_launch(
    queue: Any, kernel: Any, global_size: Sizes, local_size: Sizes | None
) -> Callable[[], int] | None:
    """A function that enqueues a pyopencl kernel on a pyopencl queue and returns OpenCL's error code, or 0.

    None where that cannot be. Both objects have to be kept alive, and the kernel's arguments set.
    """
    function = _function()
    if function is None or 0 in global_size:
        return None
    axes = len(global_size)
    sizes = ctypes.c_size_t * axes
    return partial(
        function,
        ctypes.c_void_p(queue.int_ptr),
        ctypes.c_void_p(kernel.int_ptr),
        ctypes.c_uint(axes),
        None,
        sizes(*global_size),
        None if local_size is None else sizes(*local_size),
        ctypes.c_uint(0),
        None,
        None,
    )
