"""What tells NVIDIA's devices from others."""

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=64)
def compute_capability(raw: Any) -> tuple[int, int]:
    """NVIDIA's version of the instruction set, (0, 0) on other devices."""
    try:
        return int(raw.compute_capability_major_nv), int(raw.compute_capability_minor_nv)
    except Exception:  # pyopencl raises its own errors where the extension is missing
        return 0, 0
