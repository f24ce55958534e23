"""How much memory this machine has, and how much of it is free: drivers for CPUs hand out what is not there.

Linux gives addresses first and memory at the first touch, and ends the process when there is none. So whoever
takes host memory asks here before.
"""

import os
from pathlib import Path

from tensor.memory import mebibytes

_LITTLE_BYTES = 64 * 2**20  # to ask the system costs 50 µs
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def total_bytes() -> int:
    """The memory of this machine, or of the container that it is; 0 if the system does not tell."""
    try:
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    limit = _number(_CGROUP / "memory.max")
    return pages if limit is None else min(pages, limit)


def available_bytes() -> int | None:
    """What can still be taken without swapping; None if the system does not tell."""
    found = (_available_here(), _available_in_container(), _available_to_process())
    return min((each for each in found if each is not None), default=None)


def require(size_bytes: int) -> None:
    """Raise MemoryError, as allocating does on systems that promise no more than they have, unless so many
    bytes are free or they are few."""
    if size_bytes <= _LITTLE_BYTES:
        return
    free_bytes = available_bytes()
    if free_bytes is not None and size_bytes > free_bytes:
        raise MemoryError(
            f"{mebibytes(size_bytes)} are needed, and this machine has {mebibytes(free_bytes)} free"
        )


def _available_here() -> int | None:
    try:
        with _MEMINFO.open() as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _available_in_container() -> int | None:
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is None or used is None:
        return None
    return limit - used + _cached_files_bytes()


def _available_to_process() -> int | None:
    """What `ulimit -v` leaves, beyond which PoCL crashes."""
    try:
        import resource
    except ImportError:
        return None  # not Unix
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return limit - pages * os.sysconf("SC_PAGE_SIZE")


def _cached_files_bytes() -> int:
    """Pages of files, which count as used and are given up for arrays."""
    try:
        for line in (_CGROUP / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or "max" in it."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
