"""Launching kernels/elementwise.cl: one output, one to three inputs of any layout, an expression between
them."""

from collections.abc import Sequence
from typing import Any

from tensor.array import Array
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.kernel import built
from tensor.layout import broadcast_strides, elementwise_plan

_kernels: dict[Any, Any] = {}


def launch(expression: str, compute: DType, output: Array, inputs: Sequence[Array]) -> None:
    """output[…] = expression of inputs broadcast to the output's shape; `compute` is the dtype it is
    evaluated in."""
    shape = output.shape
    if 0 in shape:
        return
    device = output.device
    strides = [
        each.strides if each.shape == shape else broadcast_strides(each.shape, each.strides, shape)
        for each in inputs
    ]
    units = 0 if device.kind == "cpu" else device.compute_units
    plan = elementwise_plan(units, shape, output.strides, *strides)
    key = (
        device.spec,
        expression,
        plan.contiguous,
        plan.index,
        compute,
        output.dtype,
        *[x.dtype for x in inputs],
    )
    kernel = _kernels.get(key)
    if kernel is None:
        kernel = _kernels[key] = _build(expression, compute, output, inputs, plan.contiguous, plan.index)
    arguments: list[Any] = [*plan.head, output.buffer, output.offset]
    layouts = plan.layouts
    if not plan.contiguous:
        arguments.append(layouts[0])
    for i, each in enumerate(inputs):
        arguments += (each.buffer, each.offset, layouts[i + 1])
    kernel(plan.global_size, *arguments, local_size=plan.local_size)


def _build(
    expression: str, compute: DType, output: Array, inputs: Sequence[Array], contiguous: bool, index: str
) -> Any:
    defines: dict[str, str | int] = {
        "INPUTS": len(inputs),
        "EXPRESSION": expression,
        "COMPUTE": OPENCL_NAMES[compute],
        "INDEX": index,
        "T_OUT": OPENCL_NAMES[output.dtype],
    }
    for letter, each in zip("ABC", inputs, strict=False):
        defines[f"T_{letter}"] = OPENCL_NAMES[each.dtype]
    return built(output.device, "elementwise.cl", "contiguous" if contiguous else "strided", defines)
