"""Who owns device memory: storages, the pool of each OpenCL device, and scopes that free a step's
temporaries at once.

A pool keeps freed buffers and hands them out again; an allocation then costs less than a microsecond instead
of a driver call. That is safe because each device has one in-order queue: whoever gets a buffer can only
enqueue work behind the work of the former owner.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tensor.errors import DeviceError

if TYPE_CHECKING:
    from tensor.array import Array
    from tensor.device import Device

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Memory:
    """What arrays occupy on one device at this instant, in bytes; `print` shows it in MiB.

    `in_use_bytes`: asked for by arrays that live. `held_bytes`: freed by arrays and kept by the pools for the
    next ones and for replays, or lost to rounding. `peak_bytes`: the most that was in use at once, since the
    start or since reset_peak_memory(). `allocations`: pieces of memory in use; views share one.
    `on_host_bytes`: values of dtypes that the device lacks, kept in the host's memory and not counted above.
    """

    device: str
    in_use_bytes: int
    held_bytes: int
    peak_bytes: int
    limit_bytes: int
    largest_array_bytes: int
    allocations: int
    on_host_bytes: int = 0

    def __str__(self) -> str:
        on_host = f", {mebibytes(self.on_host_bytes)} on the host" if self.on_host_bytes else ""
        return (
            f"{self.device}: {mebibytes(self.in_use_bytes)} in use by {self.allocations} allocations (at "
            f"most {mebibytes(self.peak_bytes)}){on_host}, {mebibytes(self.held_bytes)} held, of "
            f"{mebibytes(self.limit_bytes)}"
        )


def mebibytes(size_bytes: int) -> str:
    """A size for people: "1,024.0 MiB"."""
    return f"{size_bytes / 2**20:,.1f} MiB"


class Storage:
    """One piece of device memory, shared by all arrays that are views of it.

    `buffer` is a pyopencl buffer on OpenCL, a flat NumPy array of the arrays' dtype on NumPy. `is_shared`:
    NumPy has this memory, too, over which there may be other storages.
    """

    __slots__ = ("__weakref__", "_buffer", "device", "is_shared", "size_bytes")

    def __init__(self, device: "Device", buffer: Any, size_bytes: int) -> None:
        self.device = device
        self.size_bytes = size_bytes
        self._buffer = buffer
        self.is_shared = False
        scope = thread.scope
        if scope is not None:
            scope.enter_storage(self)

    @property
    def buffer(self) -> Any:
        buffer = self._buffer
        if buffer is None:
            raise DeviceError(
                "This array was released when its scope ended; keep() it there, "
                "or return it from the function."
            )
        return buffer

    @property
    def buffer_or_none(self) -> Any:
        """The buffer, or None if it was released."""
        return self._buffer

    def may_overlap(self, other: "Storage") -> bool:
        """Whether a place may lie in both."""
        return self is other or (self.is_shared and other.is_shared)

    def release(self) -> None:
        """Give the memory back to the pool now; arrays that still use it raise DeviceError from here on."""
        self._buffer = None


class _Thread(threading.local):
    scope: "scope | None" = None
    settle: Callable[[], None] | None = None  # does what a fused function has put off (fusion.py)


thread = _Thread()


class scope:  # noqa: N801 - reads as a statement: `with tensor.scope():`
    """Release all arrays made inside, except those that are kept.

    As a block: `with tensor.scope() as inside: …; inside.keep(loss)`. As a decorator of a function: arrays
    in its return value (an array, or tuples, lists, dicts of them) are kept. Scopes nest; what an inner scope
    keeps belongs to the outer one. They are per thread.
    """

    def __init__(self) -> None:
        self._storages: list[weakref.ref[Storage]] = []
        self._kept: set[int] = set()
        self._outer: scope | None = None

    def __enter__(self) -> "scope":
        self._outer = thread.scope
        thread.scope = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        settle()
        thread.scope = self._outer
        for reference in self._storages:
            storage = reference()
            if storage is None:
                continue
            if id(storage) not in self._kept:
                storage.release()
            elif self._outer is not None:
                self._outer.enter_storage(storage)

    def __call__(self, function: Function) -> Function:
        @wraps(function)
        def scoped(*arguments: Any, **options: Any) -> Any:
            with scope() as inside:
                return inside.keep(function(*arguments, **options))

        return scoped  # type: ignore[return-value]  # wraps() keeps the signature, which mypy cannot see

    def enter_storage(self, storage: Storage) -> None:
        """Make `storage` one that ends with this scope."""
        self._storages.append(weakref.ref(storage))

    def keep(self, value: Any) -> Any:
        """Keep the array, or all arrays in the tuple, list or dict, beyond the scope; returns `value`."""
        if isinstance(value, dict):
            for each in value.values():
                self.keep(each)
        elif isinstance(value, list | tuple):
            for each in value:
                self.keep(each)
        elif hasattr(value, "storage"):
            array: Array = value
            self._kept.add(id(array.storage))
        return value


@contextmanager
def outside_scopes() -> Iterator[None]:
    """What is made in this block belongs to no scope."""
    inner = thread.scope
    thread.scope = None
    try:
        yield
    finally:
        thread.scope = inner


def settle() -> None:
    """Do what a fused function has put off: before memory is written to by anything but a primitive."""
    if thread.settle is not None:
        thread.settle()
