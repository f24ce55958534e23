"""Chains of elementwise operations as one kernel: `@tensor.fuse` on a function of arrays.

    @tensor.fuse
    def gelu(x):
        return 0.5 * x * (1 + tensor.tanh(0.7978846 * (x + 0.044715 * x * x * x)))

Inside such a function an elementwise operation launches nothing. Its result is a Pending array, which knows
what it will be; whoever asks for its memory makes it be computed, in one kernel with all pending operations
that lead to it. So anything may be called inside: a reduction, a product or a view computes its inputs first.
Nothing stays pending that could be overtaken: writing in place computes all that is pending first, and the
function's end computes what it returns and whatever else still lives.

While nn tapes calls, the function runs as if it were not decorated. A recording takes the fused launches as
it takes others, and a profile shows them under the function's name.
"""

import weakref
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

from tensor.array import Array, Layout, layout_like, same_device
from tensor.constants import is_constant
from tensor.device import OpenCLDevice
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.errors import DeviceError
from tensor.layout import broadcast_shape
from tensor.memory import thread
from tensor.pointwise import LETTERS, prepare
from tensor.preset import Producer
from tensor.primitive import Primitive, is_taped, taping
from tensor.ufunc import OPERATIONS, Operation, dtypes_of

Function = TypeVar("Function", bound=Callable[..., Any])
MOST_OPERATIONS = 32  # in one kernel
_KEPT = 1024  # programs of a function, one for each combination of layouts and numbers


class Pending(Array):
    """The result of an operation that has not been computed yet."""

    __slots__ = ("_computed", "_fusion", "compute", "inputs", "operation", "operations")

    def __init__(
        self,
        fusion: "Fusion",
        operation: Operation,
        compute: DType,
        inputs: tuple[Array, ...],
        layout: Layout,
    ) -> None:
        self.shape, self.strides, self.offset, self.dtype = layout.shape, layout.strides, 0, layout.dtype
        self.layout = layout
        self.operation, self.compute, self.inputs = operation, compute, inputs
        self.operations: int = 1 + sum(each.operations for each in inputs if isinstance(each, Pending))
        self._fusion = fusion
        self._computed: Array | None = None

    @property
    def device(self) -> Any:
        return self.layout.device

    @property
    def storage(self) -> Any:  # type: ignore[override]  # made when it is first asked for
        return self.computed().storage

    def computed(self) -> Array:
        """This array with memory."""
        if self._computed is None:
            self._computed = self._fusion.compute(self)
            self.inputs, self.operations = (), 0
        return self._computed


class Fusion:
    """What is pending in one call of a fused function; it stands where a tape would."""

    def __init__(self) -> None:
        self._pending: list[weakref.ref[Pending]] = []
        self.launches: list[tuple[Producer, tuple[Array, ...], Array]] = []
        self.is_pure = True  # nothing was done but fused launches
        self.has_failed = False

    def run(self, primitive: Primitive, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """The call of a primitive inside a fused function."""
        operation, device = OPERATIONS.get(primitive.name), inputs[0].layout.device
        for each in inputs:
            if each.layout.device is not device:
                same_device(primitive.name, *inputs)
        if operation is not None and isinstance(device, OpenCLDevice):
            compute, result = dtypes_of(operation, *[each.dtype for each in inputs])
            shape = broadcast_shape(operation.name, *[each.shape for each in inputs])
            native = all(each.dtype in OPENCL_NAMES and device.computes(each.dtype) for each in inputs)
            if native and device.computes(compute) and 0 not in shape:
                return self._add(operation, compute, inputs, layout_like(inputs[0].layout, shape, result))
        self.is_pure = False
        if primitive.in_place:
            self.settle()
        with eagerly():
            return primitive.run_watched(inputs, parameters)

    def _add(self, operation: Operation, compute: DType, inputs: tuple[Array, ...], layout: Layout) -> Array:
        made = Pending(self, operation, compute, inputs, layout)
        while made.operations > MOST_OPERATIONS:
            _largest(made).computed()
            made = Pending(self, operation, compute, inputs, layout)
        self._pending.append(weakref.ref(made))
        return made

    def compute(self, root: Pending) -> Array:
        """Launch one kernel for `root` and what it needs."""
        if self.has_failed:
            raise DeviceError("This array had not been computed yet when its fused function failed.")
        with eagerly():
            nodes, leaves = _expression(root)
            while len(leaves) > len(LETTERS):
                _largest(root).computed()
                nodes, leaves = _expression(root)
            producer = _producer(
                _structure(nodes, leaves), root.compute, root.layout, *[x.layout for x in leaves]
            )
            sources = tuple(each.computed() if isinstance(each, Pending) else each for each in leaves)
            output = producer(*sources)
        self.launches.append((producer, sources, output))
        return output

    def settle(self) -> None:
        """Compute what is pending, before memory is written to or released."""
        self.is_pure = False
        with eagerly():
            self.finish()

    def finish(self) -> None:
        """Compute all that is pending and that somebody still holds: the latest first, since it may be the
        only one to hold what came before."""
        while self._pending:
            pending = self._pending.pop()()
            if pending is not None:
                pending.computed()


class eagerly:  # noqa: N801 - reads as a statement
    """Operations in this block are neither fused nor taped."""

    def __enter__(self) -> None:
        self._outer = taping.tape
        taping.tape = None

    def __exit__(self, *_: object) -> None:
        taping.tape = self._outer


def _largest(root: Pending) -> Pending:
    """The input of `root` with most operations pending."""
    return max((each for each in root.inputs if isinstance(each, Pending)), key=lambda each: each.operations)


def _expression(root: Pending) -> tuple[list[Pending], list[Array]]:
    """The operations that are fused with `root`, inputs before their users, and the arrays that they read.

    What has another shape or is computed in another dtype is read; it gets a kernel of its own."""
    nodes: dict[int, Pending] = {}
    leaves: dict[int, Array] = {}
    _visit(root, root, nodes, leaves)
    return list(nodes.values()), list(leaves.values())


def _visit(x: Array, root: Pending, nodes: dict[int, Pending], leaves: dict[int, Array]) -> None:
    # No closure that calls itself: such a cycle would keep arrays alive, and what lives is computed.
    if id(x) in nodes or id(x) in leaves:
        return
    if isinstance(x, Pending) and x.inputs and x.shape == root.shape and x.compute == root.compute:
        for each in x.inputs:
            _visit(each, root, nodes, leaves)
        nodes[id(x)] = x
    else:
        leaves[id(x)] = x


Structure = tuple[tuple[tuple[Operation, tuple[int, ...], DType], ...], int]


def _structure(nodes: list[Pending], leaves: list[Array]) -> Structure:
    """Operations by the numbers of their inputs (leaves first, then operations), and how many leaves."""
    numbers = {id(each): i for i, each in enumerate([*leaves, *nodes])}
    rows = [(each.operation, tuple([numbers[id(x)] for x in each.inputs]), each.dtype) for each in nodes]
    return tuple(rows), len(leaves)


@lru_cache(maxsize=8192)
def _producer(structure: Structure, compute: DType, output: Layout, *inputs: Layout) -> Producer:
    types = tuple(each.dtype for each in inputs)
    statements, result = _text(structure, compute, types)
    return Producer(output, prepare(result, compute, output, *inputs, statements=statements))


@lru_cache(maxsize=1024)
def _text(structure: Structure, compute: DType, types: tuple[DType, ...]) -> tuple[str, str]:
    """The statements of a fused kernel, one block for each operation, and its result."""
    rows, leaves = structure
    dtypes = [*types, *(dtype for _, _, dtype in rows)]
    lines = [f"const T_{x.upper()} x{i} = {x};" for i, x in enumerate(LETTERS[:leaves])]
    for i, (operation, inputs, dtype) in enumerate(rows, leaves):
        names = [OPENCL_NAMES[compute]] * len(inputs)
        if len(inputs) == 3:
            names[0] = OPENCL_NAMES[dtypes[inputs[0]]]  # the condition of `where`
        values = "".join(
            f"const {name} {letter} = ({name})x{x}; "
            for name, letter, x in zip(names, LETTERS, inputs, strict=False)
        )
        kind = OPENCL_NAMES[dtype]
        lines.append(f"{kind} x{i}; {{ {values}x{i} = ({kind})({operation.expression_for(compute)}); }}")
    return " ".join(lines), f"x{leaves + len(rows) - 1}"


Step = tuple[Producer, tuple[Any, ...]]


class Program:
    """The launches of a fused function for arguments of certain layouts, to be repeated without its Python.

    A source is the place of an argument, a constant array, or a tuple with the number of a step.
    """

    def __init__(self, steps: list[Step], result: Any) -> None:
        self._steps = steps
        self._result = result

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        made: list[Array] = []
        for producer, sources in self._steps:
            inputs = [
                arguments[x] if x.__class__ is int else made[x[0]] if x.__class__ is tuple else x
                for x in sources
            ]
            made.append(producer(*inputs))
        return made[self._result] if self._result.__class__ is int else tuple([made[i] for i in self._result])


def _program(fusion: Fusion, arguments: tuple[Any, ...], result: Any) -> Program | None:
    """The program of what has just run, if its launches depend on nothing but the arguments."""
    places: dict[int, Any] = {id(each): i for i, each in enumerate(arguments) if isinstance(each, Array)}
    steps: list[Step] = []
    for i, (producer, sources, output) in enumerate(fusion.launches):
        if not all(id(each) in places or is_constant(each) for each in sources):
            return None
        steps.append((producer, tuple([places.get(id(each), each) for each in sources])))
        places[id(output)] = (i,)
    results = result if isinstance(result, tuple) else (result,)
    made: list[Any] = [places.get(id(each)) for each in results]
    numbers = tuple([each[0] for each in made if isinstance(each, tuple)])
    if not fusion.is_pure or len(numbers) != len(results):
        return None
    return Program(steps, numbers if isinstance(result, tuple) else numbers[0])


def _key(arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What a program depends on: layouts, and numbers with their type; None if there is anything else."""
    parts: list[Any] = []
    for each in arguments:
        if isinstance(each, Array):
            parts.append(each.layout)
        elif each.__class__ in (int, float, bool):
            parts.append((each.__class__, repr(each)))
        else:
            return None
    return tuple(parts)


def fuse(function: Function) -> Function:
    """A function whose elementwise operations run together, in as few kernels as their shapes allow.

    It may return an array, or a tuple, list or dict of arrays; what it computes has to follow from its
    arguments, since its Python is not run again for arguments of the same layouts and the same numbers.
    Kernels are compiled once for each structure and dtype, never for a shape. Inside, nothing but tensor's
    own functions may write to arrays.
    """
    programs: dict[tuple[Any, ...], Program] = {}

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if is_taped():
            return function(*arguments, **options)
        watch = taping.watch
        if watch is None:
            return fused(*arguments, **options)
        watch.begin(function.__name__)
        try:
            return fused(*arguments, **options)
        finally:
            watch.end((), None)

    def fused(*arguments: Any, **options: Any) -> Any:
        key = None if options else _key(arguments)
        program = None if key is None else programs.get(key)
        if program is not None:
            return program(arguments)
        fusion, outer = Fusion(), taping.tape
        taping.tape, thread.settle = fusion, fusion.settle
        try:
            result = _computed(function(*arguments, **options))
            fusion.finish()
        except BaseException:
            fusion.has_failed = True
            raise
        finally:
            taping.tape, thread.settle = outer, None
        found = None if key is None else _program(fusion, arguments, result)
        if key is not None and found is not None:
            if len(programs) >= _KEPT:
                programs.clear()
            programs[key] = found
        return result

    return call  # type: ignore[return-value]  # wraps() keeps the signature, which mypy cannot see


def _computed(value: Any) -> Any:
    """The same with every array computed, in the order in which they stand."""
    if isinstance(value, Pending):
        return value.computed()
    if isinstance(value, dict):
        return {key: _computed(each) for key, each in value.items()}
    return type(value)(_computed(each) for each in value) if type(value) in (tuple, list) else value
