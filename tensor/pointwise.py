"""Launching kernels/elementwise.cl: one output, one to three inputs of any layout, an expression between
them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tensor.array import Array, Shape
from tensor.device import Device
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.kernel import built
from tensor.layout import broadcast_strides, elementwise_plan

Layout = tuple[
    Shape, Shape, DType
]  # shape, strides and dtype: all that a launch depends on, but for the memory


def layout_of(x: Array) -> Layout:
    """The layout of an array."""
    return x.shape, x.strides, x.dtype


class Pointwise:
    """A launch with everything prepared but the memory: call it with an output and inputs of these
    layouts."""

    def __init__(
        self, expression: str, compute: DType, device: Device, output: Layout, inputs: Sequence[Layout]
    ) -> None:
        shape, output_strides, output_dtype = output
        self._is_empty = 0 in shape
        if self._is_empty:
            return
        strides = [broadcast_strides(each[0], each[1], shape) for each in inputs]
        units = 0 if device.kind == "cpu" else device.compute_units
        plan = elementwise_plan(units, shape, output_strides, *strides)
        defines: dict[str, str | int] = {
            "INPUTS": len(inputs),
            "EXPRESSION": expression,
            "COMPUTE": OPENCL_NAMES[compute],
            "INTEGER": int(compute.kind in "biu"),
            "INDEX": plan.index,
            "T_OUT": OPENCL_NAMES[output_dtype],
        }
        for letter, each in zip("ABC", inputs, strict=False):
            defines[f"T_{letter}"] = OPENCL_NAMES[each[2]]
        name = "contiguous" if plan.contiguous else "strided"
        self._kernel = built(device, "elementwise.cl", name, defines)
        self._global_size, self._local_size = plan.global_size, plan.local_size
        self._head = plan.head
        self._output_layout = () if plan.contiguous else (plan.layouts[0],)
        self._layouts = plan.layouts[1:]

    def __call__(self, output: Array, inputs: Sequence[Array]) -> None:
        if self._is_empty:
            return
        arguments: list[Any] = [*self._head, output.buffer, output.offset, *self._output_layout]
        for each, layout in zip(inputs, self._layouts, strict=True):
            arguments += (each.buffer, each.offset, layout)
        self._kernel(self._global_size, *arguments, local_size=self._local_size)


@lru_cache(maxsize=8192)
def prepare(expression: str, compute: DType, device: Device, output: Layout, *inputs: Layout) -> Pointwise:
    """The launch of output[…] = expression of inputs, evaluated in `compute`; made once for the same layouts.

    Inputs are broadcast to the output's shape. The kernel itself depends on dtypes only, never on the shape.
    """
    return Pointwise(expression, compute, device, output, inputs)


def launch(expression: str, compute: DType, output: Array, inputs: Sequence[Array]) -> None:
    """Prepare and launch at once."""
    prepare(expression, compute, output.device, layout_of(output), *map(layout_of, inputs))(output, inputs)
