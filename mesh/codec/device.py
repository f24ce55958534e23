"""The block codecs where the array already is: kernels/codec.cl on OpenCL, the NumPy form on the host.

Both go through `tensor.primitive`, like every operation on arrays, and give the same bytes.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy

import tensor
from mesh.codec.base import Floats
from mesh.codec.codebook import LINEAR, TREE
from mesh.codec.errors import CodecError, NonFiniteError
from tensor.array import Array
from tensor.kernel import DeviceKernel, built
from tensor.memory import outside_scopes

if TYPE_CHECKING:
    from mesh.codec.blockwise import BlockCodec

LARGEST_SIZE = 2**32 - 1  # the kernels count values in 32 bits
GPU_LANES = 64
ALL_FINITE = 2**32 - 1


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


def _launch(codec: "BlockCodec", name: str, source: Array, size: int, *others: Array) -> None:
    """One group of work-items for each block; `source` is the array that may begin inside its buffer."""
    if size > LARGEST_SIZE:
        raise CodecError(f"{codec.name}: {size} values at once are too many; go bucket by bucket.")
    kernel, lanes = _kernel(codec, name, source)
    buffers = [other.buffer for other in others]
    kernel((codec.blocks(size) * lanes,), source.buffer, source.offset, size, *buffers, local_size=(lanes,))


def _kernel(codec: "BlockCodec", name: str, source: Array) -> tuple[DeviceKernel, int]:
    """The kernel for this codec's block and this device's kind, and how many work-items share a block."""
    cpu = source.device.kind == "cpu"
    width = 8 if cpu else 4
    lanes = 1
    while not cpu and lanes < GPU_LANES and lanes * width < codec.block:
        lanes *= 2
    known = not cpu and codec.block % width == 0 and source.offset % width == 0
    defines = {
        "BLOCK": codec.block,
        "LANES": lanes,
        "WIDTH": width,
        "ALIGNED": width if known else 1,
        "ADAPTIVE": int(len(codec.books) > 1),
    }
    return built(source.device, "codec.cl", name, defines), lanes


@cache
def _tables(device: tensor.Device) -> Array:
    """float32[512]: what the codes of both books mean. Made once a device, outside scopes and recordings."""
    with outside_scopes(), device.queue.not_recording():
        return tensor.asarray(numpy.concatenate([TREE.signed, LINEAR.signed]), device=device)
