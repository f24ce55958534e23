"""The table of primitives, and the one function through which every call of one goes.

A primitive is one operation with its two forms side by side: `numpy`, which takes and returns NumPy arrays
and is the specification, and `opencl`, which takes and returns arrays and launches kernels; or `prepare`,
which takes layouts instead and returns what launches kernels for all arrays that have them. A view (reshape,
slicing) has one form for both, since it only computes strides.

    double = tensor.primitive("double", numpy=lambda x: x * 2, opencl=launch_double)
    y = double(x)

When a tape is active in this thread, `Primitive.__call__` appends what was called; nn differentiates such
tapes. What a primitive calls inside is not taped. What works in place is, so that nn can refuse it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol

import numpy

from tensor.array import Array, not_an_array, same_device
from tensor.device import Device, NumpyDevice
from tensor.dtypes import STORED, DType, HostArray, computed, float32, float64, kind, promote
from tensor.errors import MeshError, OutOfMemoryError, RecordError
from tensor.memory import Storage, outside_scopes

Prepared = Callable[..., Array]  # takes the arrays for which it was prepared


@dataclass(frozen=True, eq=False)
class Call:
    """One taped call: `output = primitive(*inputs, **parameters)`."""

    primitive: "Primitive"
    inputs: tuple[Array, ...]
    parameters: dict[str, Any]
    output: Array


class Watch(Protocol):
    """What is told before and after each primitive; `tensor.profile` is one."""

    def begin(self, name: str) -> None:
        """Something of this name is about to run; such calls nest."""

    def end(self, inputs: Sequence[Array], output: Array | None) -> None:
        """It has run; `output` is None if it raised, or is not to be looked at."""


class Runner(Protocol):
    """What may stand in the place of a tape, and runs calls as it likes: `tensor.fusion` has one, and nn."""

    def run(self, primitive: "Primitive", inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """Do what the call asks for, now or later."""


class _Taping(threading.local):
    tape: "list[Call] | Runner | None" = (
        None  # of watched threads never None, so that no other threads pay for the watch
    )
    watch: Watch | None = None
    float32_results = False


class Forgetful(list[Call]):
    """The tape of a thread that is watched, while nobody needs the calls as they are."""

    def append(self, call: Call) -> None:
        pass


taping = _Taping()  # whether calls of this thread are taped


@contextmanager
def recording_calls() -> Iterator[list[Call]]:
    """Tape all primitive calls of this thread inside the block; blocks nest, the innermost one gets the
    calls."""
    outer = taping.tape
    tape: list[Call] = []
    taping.tape = tape
    try:
        yield tape
    finally:
        taping.tape = outer


@contextmanager
def calls_through(runner: Runner) -> Iterator[None]:
    """Let `runner` run all primitive calls of this thread inside the block."""
    outer = taping.tape
    taping.tape = runner
    try:
        yield
    finally:
        taping.tape = outer


@contextmanager
def not_recording_calls() -> Iterator[None]:
    """Suspend the tape inside the block; what watches this thread is told of calls all the same."""
    outer = taping.tape
    taping.tape = None if taping.watch is None or outer is None else Forgetful()
    try:
        yield
    finally:
        taping.tape = outer


@contextmanager
def float32_results() -> Iterator[None]:
    """Let sums, products and all else that is no elementwise operation return float32 inside the block, also
    from float16 and bfloat16."""
    outer = taping.float32_results
    taping.float32_results = True
    try:
        yield
    finally:
        taping.float32_results = outer


def is_taped() -> bool:
    """Whether somebody needs the calls of this thread as they are; who only watches does not."""
    return taping.tape is not None and not isinstance(taping.tape, Forgetful)


@contextmanager
def watching_calls(watch: Watch) -> Iterator[None]:
    """Tell `watch` of all primitive calls of this thread inside the block."""
    outer = taping.tape, taping.watch
    taping.watch = watch
    if taping.tape is None:
        taping.tape = Forgetful()
    try:
        yield
    finally:
        taping.tape, taping.watch = outer


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation. Called with arrays of one device and keyword parameters, it returns one array.

    `in_place`: both forms write into their inputs and return nothing; the call returns the first input.
    `stores`: both forms take float16 and bfloat16 as they are. For others such inputs become float32, and the
    result is rounded to what they were. `single`: its kernels are of float32, and it is NumPy's form that
    computes float64, on the host, also for devices that have float64.
    """

    name: str
    numpy: Callable[..., Any] | None = None
    opencl: Callable[..., Any] | None = None
    view: Callable[..., Array] | None = None
    in_place: bool = field(default=False, kw_only=True)
    stores: bool = field(default=False, kw_only=True)
    single: bool = field(default=False, kw_only=True)
    prepare: Callable[..., Prepared] | None = field(default=None, kw_only=True)

    def __call__(self, *inputs: Array, **parameters: Any) -> Array:
        tape = taping.tape
        if tape is None:
            return self._run(inputs, parameters)
        if isinstance(tape, list):
            return self._run_taped(tape, inputs, parameters)
        return tape.run(self, inputs, parameters)

    def _run_taped(self, tape: list[Call], inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        taping.tape = None
        try:
            output = self.run_watched(inputs, parameters)
        finally:
            taping.tape = tape
        tape.append(Call(self, inputs, parameters, output))
        return output

    def run_watched(self, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """Run untaped, and tell whoever watches this thread."""
        watch, output = taping.watch, None
        if watch is None or self.view is not None:
            return self._run(inputs, parameters)
        watch.begin(self.name)
        try:
            output = self._run(inputs, parameters)
        finally:
            watch.end(inputs, output)
        return output

    def _run(self, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        try:
            device = same_device(self.name, *inputs) if len(inputs) > 1 else inputs[0].storage.device
        except AttributeError as error:
            raise not_an_array(self.name, error.obj) from error
        if self.view is not None:
            return self.view(*inputs, **parameters)
        result = parameters.get("dtype")
        if not self.stores and (result in STORED or any(each.dtype in STORED for each in inputs)):
            return self._run_in_float32(inputs, parameters)
        if isinstance(device, NumpyDevice):
            return self._run_numpy(device, inputs, parameters)
        if not _is_native(device, inputs, result) or (
            self.single and float64 in [each.dtype for each in inputs]
        ):
            return self._run_on_host(inputs, parameters)
        if self.prepare is not None:
            return self.prepare(*[each.layout for each in inputs], **parameters)(*inputs)
        assert self.opencl is not None
        output: Array | None = self.opencl(*inputs, **parameters)
        return inputs[0] if output is None else output

    def launch_for(self, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Prepared | None:
        """What does the same for all arrays with the layouts of these; None if kernels alone do not do it."""
        result = parameters.get("dtype")
        if self.prepare is None or not _is_native(inputs[0].device, inputs, result):
            return None
        if not self.stores and (result in STORED or any(each.dtype in STORED for each in inputs)):
            return None
        return self.prepare(*[each.layout for each in inputs], **parameters)

    def _run_in_float32(self, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """For float16 and bfloat16, which are given back where `float32_results` does not forbid it."""
        result = parameters.get("dtype")
        stored = result if result is not None else _common_dtype(inputs)
        if result in STORED:
            parameters = {**parameters, "dtype": float32}
        output = self._run(tuple([_converted(x, computed(x.dtype)) for x in inputs]), parameters)
        if self.in_place:
            if inputs[0].dtype in STORED:
                PRIMITIVES["assign"]._run((inputs[0], _converted(output, inputs[0].dtype)), {})
            return inputs[0]
        if output.dtype != float32 or stored not in STORED or taping.float32_results:
            return output
        return _converted(output, stored)

    def _run_on_host(self, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """NumPy's definition for arrays of a dtype that the device, or its kernel of this, lacks."""
        assert self.numpy is not None
        definition = self.numpy
        if not self.in_place:
            return through_host(definition)(*inputs, **parameters)
        held = [pinned(each) for each in inputs]

        def compute() -> None:
            with numpy.errstate(all="ignore"):
                definition(*[each.host() if each.on_host else each.peek() for each in held], **parameters)

        inputs[0].device.queue.run(compute, [each.buffer for each in held], self.name)
        return inputs[0]

    def _run_numpy(self, device: NumpyDevice, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        recording = device.queue.recording
        if recording is None:
            return self._run_numpy_once(device, inputs, parameters)
        with device.queue.not_recording():
            output = self._run_numpy_once(device, inputs, parameters)
        if self.in_place:
            views = recording.seats(inputs)
            recording.add(lambda: self._define(views, parameters), name=self.name)
            return output
        if not any(numpy.may_share_memory(output.buffer, each.buffer) for each in inputs):
            recording.own(output.storage)
        result, sources = recording.seats([output]), recording.seats(inputs)
        recording.add(lambda: numpy.copyto(result[0], self._define(sources, parameters)), name=self.name)
        return output

    def _run_numpy_once(
        self, device: NumpyDevice, inputs: tuple[Array, ...], parameters: dict[str, Any]
    ) -> Array:
        try:
            values = self._define([each.host() for each in inputs], parameters)
            return inputs[0] if self.in_place else Array.adopt(values, device)
        except MemoryError as error:
            raise OutOfMemoryError(f"{self.name} on {device.name}: {error}; {device.memory()}.") from error

    def _define(self, values: Sequence[HostArray], parameters: dict[str, Any]) -> Any:
        """NumPy's definition of these values."""
        assert self.numpy is not None
        with numpy.errstate(all="ignore"):  # infinities and NaN are values, as on every other device
            return self.numpy(*values, **parameters)


def _is_native(device: Device, inputs: tuple[Array, ...], result: Any) -> bool:
    if isinstance(device, NumpyDevice):
        return False
    for each in inputs:
        if not device.holds(each.dtype):
            return False
    return result is None or device.holds(result)


def _common_dtype(inputs: tuple[Array, ...]) -> DType:
    """The dtype of the inputs that are floating, together."""
    found = [each.dtype for each in inputs if kind(each.dtype) in "fc"]
    return reduce(lambda a, b: promote(a, b, "mixed inputs"), found)


def _converted(x: Array, dtype: DType) -> Array:
    return x if x.dtype == dtype else PRIMITIVES["astype"]._run((x,), {"dtype": dtype})


PRIMITIVES: dict[str, Primitive] = {}


def primitive(
    name: str,
    *,
    numpy: Callable[..., Any] | None = None,
    opencl: Callable[..., Any] | None = None,
    view: Callable[..., Array] | None = None,
    in_place: bool = False,
    stores: bool = False,
    single: bool = False,
    prepare: Callable[..., Prepared] | None = None,
) -> Primitive:
    """Add an operation to the table: `numpy` and one of `opencl` and `prepare`, or `view` alone. Names are
    unique.

    `numpy(*numpy_arrays, **parameters)` returns a new NumPy array, `opencl(*arrays, **parameters)` a new
    Array on the same device; with `in_place` both write into their inputs instead. `through_host(numpy)`
    gives an `opencl` form that computes on the host. `prepare(*layouts, **parameters)` returns a function of
    arrays with these layouts that does what `opencl` would; small operations pay for it once (`prepared`).
    None of these meets float16 or bfloat16, but float32 in place of them, unless it `stores` them itself;
    with `single`, `opencl` does not meet float64 either: NumPy computes that.
    """
    if name in PRIMITIVES:
        raise MeshError(f"There is a primitive named {name} already; give yours another name.")
    forms = sum(each is not None for each in (opencl, prepare))
    if (forms, numpy is None) != ((1, False) if view is None else (0, True)):
        raise MeshError(
            f"Primitive {name} needs numpy= and one of opencl= and prepare=, or view= and nothing else."
        )
    made = PRIMITIVES[name] = Primitive(
        name, numpy, opencl, view, in_place=in_place, stores=stores, single=single, prepare=prepare
    )
    return made


def through_host(definition: Callable[..., Any]) -> Callable[..., Array]:
    """An OpenCL form that brings its inputs to the host, runs the NumPy definition, and sends the result
    back."""

    def run(*inputs: Array, **parameters: Any) -> Array:
        device = inputs[0].device
        sources = [pinned(each) for each in inputs]

        def compute() -> HostArray:
            with numpy.errstate(all="ignore"):
                return numpy.asarray(definition(*[each.peek() for each in sources], **parameters))

        recording = device.queue.recording
        with device.queue.not_recording():
            values = compute()
        output = Array.new(values.shape, values.dtype, device)
        with device.queue.not_recording():
            output.write(values)
        if recording is not None:
            target = pinned(output)
            kept = [each.buffer for each in (*sources, target)]
            recording.add(lambda: target.write(compute()), kept, "through_host")
        return output

    return run


def require_known_size(where: str, x: Array) -> None:
    """Raise RecordError inside record(), where the shape of a result must not depend on values."""
    if x.device.queue.recording is not None:
        raise RecordError(
            f"{where}: the size of its result depends on the values, which a replay cannot follow. "
            "Call it outside record(), or select with where()."
        )


def pinned(x: Array) -> Array:
    """x for a replay: an array over the same memory that no scope releases."""
    with outside_scopes():
        storage = Storage(x.device, x.buffer, x.storage.size_bytes)
    return Array(storage, x.shape, x.strides, x.offset, x.dtype)
