"""Softmax with cross-entropy, in both directions: loss of a row = log Σ exp(logits) − logits[label]."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.conversion import astype
from tensor.errors import DTypeError, ShapeError
from tensor.kernel import DeviceKernel, built
from tensor.primitive import primitive
from tensor.views import contiguous


def _shifted(logits: Any) -> Any:
    """logits − the largest of their row, which keeps exp() from overflowing."""
    return logits - logits.max(axis=1, keepdims=True)


def _forward(logits: Any, labels: Any) -> Any:
    shifted = _shifted(logits)
    total = numpy.log(numpy.exp(shifted).sum(axis=1))
    valid = (labels >= 0) & (labels < logits.shape[1])
    chosen = numpy.where(valid, labels, 0)
    losses = total - shifted[numpy.arange(len(labels)), chosen]
    return numpy.where(valid, losses, numpy.float32(numpy.nan)).astype(logits.dtype)


def _backward(logits: Any, labels: Any, dlosses: Any) -> Any:
    powers = numpy.exp(_shifted(logits))
    target = numpy.arange(logits.shape[1]) == labels[:, None]
    return ((powers / powers.sum(axis=1, keepdims=True) - target) * dlosses[:, None]).astype(logits.dtype)


def _kernel(name: str, logits: Array) -> tuple[DeviceKernel, int]:
    """The kernel and how many work-items share a row."""
    items = 1
    while logits.device.kind != "cpu" and items < min(logits.shape[1], 256):
        items *= 2
    return built(logits.device, "softmax.cl", name, {"ITEMS": items}), items


def _forward_opencl(logits: Array, labels: Array) -> Array:
    losses = Array.new(labels.shape, logits.dtype, logits.device)
    if losses.size:
        logits, labels = contiguous(logits), contiguous(labels)
        kernel, items = _kernel("forward", logits)
        arguments = (logits.buffer, logits.offset, labels.buffer, labels.offset, losses.buffer)
        kernel((len(labels) * items,), logits.shape[1], *arguments, local_size=(items,))
    return losses


def _backward_opencl(logits: Array, labels: Array, dlosses: Array) -> Array:
    dlogits = Array.new(logits.shape, logits.dtype, logits.device)
    if dlogits.size:
        whole = (contiguous(logits), contiguous(labels), dlosses)
        kernel, items = _kernel("backward", logits)
        arguments = [argument for each in whole for argument in (each.buffer, each.offset)]
        size = (len(labels) * items,)
        arguments += [dlosses.strides[0], dlogits.buffer]
        kernel(size, logits.shape[1], *arguments, local_size=(items,))
    return dlogits


_FORWARD = primitive("softmax_cross_entropy", numpy=_forward, opencl=_forward_opencl, single=True)
_BACKWARD = primitive("softmax_cross_entropy_backward", numpy=_backward, opencl=_backward_opencl, single=True)


def softmax_cross_entropy(logits: Array, labels: Array) -> Array:
    """Losses [N] of logits[N, K] and labels[N] (integers); NaN where a label is not in 0 … K − 1.

    In float32, or in float64, which NumPy computes on the host.
    """
    _check("softmax_cross_entropy", logits, labels)
    return _FORWARD(logits, astype(labels, dtypes.int32, copy=False))


def softmax_cross_entropy_backward(logits: Array, labels: Array, dlosses: Array) -> Array:
    """Derivative by the logits [N, K]: (softmax(logits) − one_hot(labels)) · dlosses[N]."""
    _check("softmax_cross_entropy_backward", logits, labels)
    if dlosses.shape != labels.shape:
        raise ShapeError(
            f"softmax_cross_entropy_backward: dlosses {dlosses.shape} must match labels {labels.shape}."
        )
    return _BACKWARD(logits, astype(labels, dtypes.int32, copy=False), dlosses)


def _check(where: str, logits: Array, labels: Array) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.shape[1] == 0:
        raise ShapeError(
            f"{where}: expected logits [N, K] and labels [N], got {logits.shape} and {labels.shape}."
        )
    if dtypes.computed(logits.dtype) not in (dtypes.float32, dtypes.float64) or labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{where}: expected float32 or float64 logits and integer labels, "
            f"got {logits.dtype.name} and {labels.dtype.name}."
        )
