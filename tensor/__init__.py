"""N-dimensional arrays on any OpenCL device, or on NumPy where there is none."""

from tensor import errors
from tensor.array import Array
from tensor.checksum import checksum
from tensor.convolution import conv2d, conv2d_backward_data, conv2d_backward_weights
from tensor.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from tensor.device import Device
from tensor.discovery import default_device, device, device_notes, devices, use_device
from tensor.dlpack import from_dlpack
from tensor.dtypes import (
    bool_ as bool,
)
from tensor.dtypes import (
    float32,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tensor.elementwise import (
    abs,
    add,
    astype,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    pow,
    relu,
    sqrt,
    subtract,
    tanh,
    where,
)
from tensor.files import load, save, savez
from tensor.grids import eye, linspace, meshgrid, tril, triu
from tensor.indexing import take
from tensor.kernel import Kernel, kernel
from tensor.manipulation import (
    broadcast_arrays,
    concat,
    diff,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    repeat,
    roll,
    squeeze,
    stack,
    tile,
    unstack,
)
from tensor.matmul import matmul
from tensor.memory import Memory, scope
from tensor.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from tensor.primitive import (
    PRIMITIVES,
    Call,
    Primitive,
    not_recording_calls,
    primitive,
    recording_calls,
    through_host,
)
from tensor.random import random_uniform
from tensor.record import Recording, host_call, record
from tensor.reduction import argmax, max, mean, min, sum
from tensor.scan import cumulative_prod, cumulative_sum
from tensor.searching import count_nonzero, nonzero
from tensor.softmax import softmax_cross_entropy, softmax_cross_entropy_backward
from tensor.views import broadcast_to, copy, permute_dims, reshape

__all__ = [
    "PRIMITIVES",
    "Array",
    "Call",
    "Device",
    "Kernel",
    "Memory",
    "Primitive",
    "Recording",
    "abs",
    "add",
    "arange",
    "argmax",
    "asarray",
    "astype",
    "avg_pool2d",
    "avg_pool2d_backward",
    "bool",
    "broadcast_arrays",
    "broadcast_to",
    "checksum",
    "concat",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "copy",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "default_device",
    "device",
    "device_notes",
    "devices",
    "diff",
    "divide",
    "empty",
    "empty_like",
    "equal",
    "errors",
    "exp",
    "expand_dims",
    "eye",
    "flip",
    "float32",
    "from_dlpack",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "host_call",
    "int8",
    "int16",
    "int32",
    "int64",
    "kernel",
    "less",
    "less_equal",
    "linspace",
    "load",
    "log",
    "logical_and",
    "logical_not",
    "logical_or",
    "matmul",
    "matrix_transpose",
    "max",
    "max_pool2d",
    "max_pool2d_backward",
    "maximum",
    "mean",
    "memory",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "nonzero",
    "not_equal",
    "not_recording_calls",
    "ones",
    "ones_like",
    "permute_dims",
    "pow",
    "primitive",
    "random_uniform",
    "record",
    "recording_calls",
    "release_memory",
    "relu",
    "repeat",
    "reset_peak_memory",
    "reshape",
    "roll",
    "save",
    "savez",
    "scope",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "sqrt",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "take",
    "tanh",
    "through_host",
    "tile",
    "tril",
    "triu",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unstack",
    "use_device",
    "where",
    "zeros",
    "zeros_like",
]


def memory(device_or_spec: "Device | str | None" = None) -> Memory:
    """What arrays occupy on a device (the default one), in bytes."""
    return device(device_or_spec).memory()


def release_memory(device_or_spec: "Device | str | None" = None) -> int:
    """Give the memory that a device (the default one) holds for arrays to come back to its driver; returns
    the bytes. Waits for the device. What recordings need for their replays stays."""
    return device(device_or_spec).release_memory()


def reset_peak_memory(device_or_spec: "Device | str | None" = None) -> None:
    """Let `memory().peak_bytes` of a device (the default one) begin again, at what is in use now."""
    device(device_or_spec).reset_peak_memory()
