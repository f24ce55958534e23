"""Launching kernels/elementwise_*.cl: one output, inputs of any layout, an expression between them."""

from collections.abc import Sequence
from functools import lru_cache

from tensor.array import Array, Layout, layout_like
from tensor.dtypes import OPENCL_NAMES, STORED, DType, uint16
from tensor.kernel import built
from tensor.layout import broadcast_strides, elementwise_plan
from tensor.preset import Preset, Producer

LETTERS = "abcdefgh"  # as many inputs as an expression may have; the kernels use the names after these


def _defines(
    expression: str, statements: str, compute: DType, output: DType, inputs: Sequence[DType]
) -> dict[str, str | int]:
    """What kernels/elementwise.h asks for. The condition of `where`, a first input of three, keeps its own
    type; statements convert by themselves."""
    if compute in STORED:  # a copy, bit by bit
        return _defines(expression, statements, uint16, uint16, [uint16] * len(inputs))
    letters = LETTERS[: len(inputs)]
    defines: dict[str, str | int] = {
        "OPERANDS(EACH)": " ".join(f"EACH({each.upper()}, {each})" for each in letters),
        "STATEMENTS": statements,
        "EXPRESSION": expression,
        "COMPUTE": OPENCL_NAMES[compute],
        "INTEGER": int(compute.kind in "biu"),
        "T_OUT": _c_name(output),
        "WRITE(x)": f"to_{output.name}((float)(x))" if output in STORED else "((T_OUT)(x))",
    }
    for letter, dtype in zip(letters.upper(), inputs, strict=True):
        defines[f"T_{letter}"] = _c_name(dtype)
        keeps_own = statements or (len(inputs) == 3 and letter == "A")
        defines[f"COMPUTE_{letter}"] = OPENCL_NAMES[dtype if keeps_own else compute]
        value = f"from_{dtype.name}(x)" if dtype in STORED else "(x)"
        defines[f"READ_{letter}(x)"] = f"((COMPUTE_{letter}){value})"
    return defines


def _c_name(dtype: DType) -> str:
    """The OpenCL C type of elements in memory."""
    return "ushort" if dtype in STORED else OPENCL_NAMES[dtype]


@lru_cache(maxsize=8192)
def prepare(
    expression: str,
    compute: DType,
    output: Layout,
    *inputs: Layout,
    statements: str = "",
    overwrites: bool = False,
) -> Preset | None:
    """The launch of output[…] = expression of inputs, evaluated in `compute`; made once for the same layouts.

    `statements` come before the expression. `overwrites` says that the output is an input too.

    Call it with the output and the inputs, which are broadcast to its shape. The kernel itself depends on
    dtypes only, never on the shape. None if there is nothing to compute.
    """
    device, shape = output.device, output.shape
    if 0 in shape:
        return None
    types = [each.dtype for each in inputs]
    strides = [broadcast_strides(each.shape, each.strides, shape) for each in inputs]
    is_cpu = device.kind == "cpu"
    lanes = 4 if max(each.itemsize for each in (compute, output.dtype, *types)) <= 4 else 2
    plan = elementwise_plan(0 if is_cpu else device.compute_units, lanes, shape, output.strides, *strides)
    defines = _defines(expression, statements, compute, output.dtype, types) | dict(plan.defines)
    if overwrites:
        defines["OVERWRITES"] = 1
    if is_cpu:
        defines[plan.kernel.upper()] = 1
    file = "elementwise_cpu.cl" if is_cpu else "elementwise_gpu.cl"
    kernel = built(device, file, plan.kernel, defines)
    return Preset(kernel, plan.global_size, plan.local_size, plan.numbers)


def launch(
    expression: str, compute: DType, output: Array, inputs: Sequence[Array], overwrites: bool = False
) -> None:
    """Prepare and launch at once."""
    layouts = [each.layout for each in inputs]
    ready = prepare(expression, compute, output.layout, *layouts, overwrites=overwrites)
    if ready is not None:
        ready(output, *inputs)


@lru_cache(maxsize=8192)
def producer(expression: str, compute: DType, dtype: DType, *inputs: Layout) -> Producer:
    """The launch that makes a new array of the first input's shape, as `prepare` does."""
    output = layout_like(inputs[0], inputs[0].shape, dtype)
    return Producer(output, prepare(expression, compute, output, *inputs))
