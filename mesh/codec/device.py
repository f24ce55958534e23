"""The block codecs where the array already is: kernels/codec.cl on OpenCL, the NumPy form on the host.

Both go through `tensor.primitive`, like every operation on arrays, and give the same bytes.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy

import tensor
from mesh.codec.base import Floats
from mesh.codec.codebook import LINEAR, TREE
from mesh.codec.errors import CodecError, NonFiniteError
from tensor.array import Array
from tensor.kernel import built
from tensor.memory import outside_scopes

if TYPE_CHECKING:
    from mesh.codec.blockwise import BlockCodec

LARGEST_SIZE = 2**32 - 1  # the kernels count values in 32 bits
ALL_FINITE = 2**32 - 1
WORTH_LAUNCHING = 1 << 18  # values: where fewer are merged, NumPy has done them before the launches are made


def _encode_numpy(x: Floats, *, codec: "BlockCodec") -> Any:
    return numpy.frombuffer(codec.encode_host(x), numpy.uint8)


def _encode_opencl(x: Array, *, codec: "BlockCodec") -> Array:
    source = x if x.is_contiguous else tensor.copy(x)
    payload = Array.new((codec.payload_bytes(x.size),), tensor.uint8, x.device)
    if x.size == 0:
        return payload
    first_bad = tensor.full((1,), ALL_FINITE, dtype=tensor.uint32, device=x.device)
    _launch(codec, "encode", source, x.size, payload, first_bad)
    index = int(first_bad)
    if index != ALL_FINITE:
        raise NonFiniteError(index, float(x[index]))
    return payload


def _decode_numpy(payload: Any, *, codec: "BlockCodec", size: int) -> Floats:
    return codec.decode(payload.tobytes(), size)


def _decode_opencl(payload: Array, *, codec: "BlockCodec", size: int) -> Array:
    out = Array.new((size,), tensor.float32, payload.device)
    if size == 0:
        return out
    whole_words = payload.is_contiguous and payload.offset % 4 == 0
    source = payload if whole_words else tensor.copy(payload)
    codec.check_scales(source[: 4 * codec.blocks(size)].numpy().view("<f4"))
    _launch(codec, "decode", source, size, _tables(payload.device), out)
    return out


encode = tensor.primitive("codec_encode", numpy=_encode_numpy, opencl=_encode_opencl)
decode = tensor.primitive("codec_decode", numpy=_decode_numpy, opencl=_decode_opencl)


@dataclass(frozen=True)
class Layout:
    """How kernels/codec.cl divides the work; its head says what each of these means."""

    lanes: int
    rows: int
    width: int
    together: int


CPU_LAYOUT = Layout(lanes=1, rows=1, width=8, together=8)
GPU_LAYOUT = Layout(lanes=32, rows=4, width=4, together=1)


def layout_of(device: tensor.Device) -> Layout:
    """The layout that was fastest on devices of this kind (docs/log.md)."""
    return CPU_LAYOUT if device.kind == "cpu" else GPU_LAYOUT


def is_sooner_on(device: tensor.Device, size: int) -> bool:
    """Whether `size` values are decoded and merged sooner on `device` than by NumPy (docs/log.md), to the
    same bytes: sums and quotients need a device that rounds as NumPy does.
    """
    return device.backend == "opencl" and device.rounds_as_numpy and size >= WORTH_LAUNCHING


def _launch(codec: "BlockCodec", name: str, source: Array, size: int, *others: Array) -> None:
    """Launch kernel `name`; `source` is the one array that may begin inside its buffer."""
    if size > LARGEST_SIZE:
        raise CodecError(f"{codec.name}: {size} values at once are too many; go bucket by bucket.")
    layout = layout_of(source.device)
    kernel = built(source.device, "codec.cl", name, _defines(codec, source, layout))
    groups = -(-codec.blocks(size) // layout.rows)
    local_size = layout.rows * layout.lanes
    buffers = [other.buffer for other in others]
    kernel((groups * local_size,), source.buffer, source.offset, size, *buffers, local_size=(local_size,))


def _defines(codec: "BlockCodec", source: Array, layout: Layout) -> dict[str, int]:
    """What specialises the kernels for this codec, this device and the alignment of `source`."""
    aligned = layout.lanes > 1 and codec.block % layout.width == 0 and source.offset % layout.width == 0
    return {
        "BLOCK": codec.block,
        "LANES": layout.lanes,
        "ROWS": layout.rows,
        "SHUFFLE": int("NVIDIA" in source.device.name),
        "WIDTH": layout.width,
        "TOGETHER": layout.together,
        "ALIGNED": layout.width if aligned else 1,
        "ADAPTIVE": int(len(codec.books) > 1),
    }


@cache
def _tables(device: tensor.Device) -> Array:
    """float32[512]: what the codes of both books mean. Made once a device, outside scopes and recordings."""
    with outside_scopes(), device.queue.not_recording():
        return tensor.asarray(numpy.concatenate([TREE.signed, LINEAR.signed]), device=device)
