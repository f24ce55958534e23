"""N-dimensional arrays on any OpenCL device, or on NumPy where there is none."""

import typing as _typing

from tensor import arguments as _arguments
from tensor import errors, fft, linalg, random
from tensor import numpy_names as _numpy_names
from tensor.array import Array
from tensor.batch_norm import batch_norm, batch_norm_backward, batch_norm_gradients, batch_statistics
from tensor.checksum import checksum
from tensor.comparison import allclose, array_equal, isclose
from tensor.conversion import astype
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
    bfloat16,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tensor.dtypes import (
    bool_ as bool,
)
from tensor.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    imag,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    real,
    reciprocal,
    relu,
    relu6,
    remainder,
    round,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)
from tensor.files import load, save, savez
from tensor.fusion import fuse
from tensor.grids import eye, linspace, meshgrid, tril, triu
from tensor.index_add import gather_backward
from tensor.indexing import index_add, take, take_along_axis
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
from tensor.matmul_precision import Precision, precision, precisions
from tensor.memory import Memory, scope
from tensor.namespace import (
    __array_api_version__,
    __array_namespace_info__,
    can_cast,
    finfo,
    iinfo,
    isdtype,
    result_type,
)
from tensor.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from tensor.primitive import (
    PRIMITIVES,
    Call,
    Primitive,
    float32_results,
    not_recording_calls,
    primitive,
    recording_calls,
    through_host,
)
from tensor.products import tensordot, vecdot
from tensor.profiling import profile
from tensor.random import random_uniform
from tensor.record import Recording, host_call, record
from tensor.reduction import all, any, argmax, argmin, max, mean, min, prod, std, sum, var
from tensor.scan import cumulative_prod, cumulative_sum
from tensor.searching import count_nonzero, nonzero
from tensor.sets import unique_all, unique_counts, unique_inverse, unique_values
from tensor.softmax import softmax_cross_entropy, softmax_cross_entropy_backward
from tensor.sorted_search import searchsorted
from tensor.sorting import argsort, sort
from tensor.views import broadcast_to, copy, permute_dims, reshape

__all__ = [
    "PRIMITIVES",
    "Array",
    "Call",
    "Device",
    "Kernel",
    "Memory",
    "Precision",
    "Primitive",
    "Recording",
    "__array_api_version__",
    "__array_namespace_info__",
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "allclose",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "array_equal",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_gradients",
    "batch_statistics",
    "bfloat16",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bool",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "ceil",
    "checksum",
    "clip",
    "complex64",
    "complex128",
    "concat",
    "conj",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "copy",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "default_device",
    "device",
    "device_notes",
    "devices",
    "diff",
    "divide",
    "e",
    "empty",
    "empty_like",
    "equal",
    "erf",
    "errors",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "fft",
    "finfo",
    "flip",
    "float16",
    "float32",
    "float32_results",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "fuse",
    "gather_backward",
    "greater",
    "greater_equal",
    "host_call",
    "hypot",
    "iinfo",
    "imag",
    "index_add",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "isclose",
    "isdtype",
    "isfinite",
    "isinf",
    "isnan",
    "kernel",
    "less",
    "less_equal",
    "linalg",
    "linspace",
    "load",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
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
    "nan",
    "negative",
    "newaxis",
    "nextafter",
    "nonzero",
    "not_equal",
    "not_recording_calls",
    "ones",
    "ones_like",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "precision",
    "precisions",
    "primitive",
    "prod",
    "profile",
    "random",
    "random_uniform",
    "real",
    "reciprocal",
    "record",
    "recording_calls",
    "release_memory",
    "relu",
    "relu6",
    "remainder",
    "repeat",
    "reset_peak_memory",
    "reshape",
    "result_type",
    "roll",
    "round",
    "save",
    "savez",
    "scope",
    "searchsorted",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "through_host",
    "tile",
    "tril",
    "triu",
    "trunc",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "use_device",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]


from math import e, inf, nan, pi  # the array API's constants

newaxis = None


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


if not _typing.TYPE_CHECKING:  # it would let every name pass

    def __getattr__(name: str) -> object:
        raise AttributeError(f"tensor has no {name!r}.{_numpy_names.hint_for_function(name)}")


_arguments.explaining(globals(), __all__)
_arguments.explaining(vars(linalg), linalg.__all__)
_arguments.explaining(vars(fft), fft.__all__)
