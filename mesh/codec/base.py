"""What every codec has in common: the interface, and the checks at its border."""

from abc import ABC, abstractmethod
from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from mesh.codec.errors import CodecError, NonFiniteError

Floats = NDArray[numpy.float32]
Bytes = NDArray[numpy.uint8]
Payload = bytes | bytearray | memoryview
Sum = Floats | tensor.Array


class Codec(ABC):
    """Turns a flat float32 vector into bytes and back; holds no state, so one object serves all threads.

    The same values give the same bytes on every device, and `decode(encode(x))` is a fixed point: encoding
    it once more gives the same bytes.
    """

    name: str

    @abstractmethod
    def payload_bytes(self, size: int) -> int:
        """Length in bytes of the payload of `size` values."""

    @abstractmethod
    def encode(self, array: Any) -> bytes:
        """Bytes of `array`: float32[size], of NumPy or of any device.

        Raises NonFiniteError, naming the first index, for NaN or an infinity; CodecError for another dtype
        or more than one axis.
        """

    @abstractmethod
    def decode(self, payload: Payload, size: int) -> Floats:
        """Values of `payload`, float32[size]; raises CodecError for a payload that no encoder makes."""

    def is_sooner_on(self, device: tensor.Device, size: int) -> bool:
        """Whether payloads of `size` values are decoded and merged sooner on `device` than by NumPy, to the
        same bytes.
        """
        return False

    @abstractmethod
    def decode_add(self, payload: Payload, out: Sum) -> None:
        """Add the decoded values into `out`, float32[size], in place: one term of a server's merge.

        `out` is NumPy's, or an array of a device. Raises CodecError for a payload that no encoder makes;
        `out` is then as it was.
        """

    def encode_array(self, x: tensor.Array) -> tensor.Array:
        """Payload of `x`, float32[size], as uint8[payload_bytes(size)] on its device; raises as `encode`."""
        return tensor.asarray(numpy.frombuffer(self.encode(x), numpy.uint8), device=x.device)

    def decode_array(
        self, payload: Payload | tensor.Array, size: int, device: tensor.Device | str | None = None
    ) -> tensor.Array:
        """Values float32[size] of `payload` on `device`: by default the payload's, or the default device."""
        if isinstance(payload, tensor.Array):
            device = device or payload.device
            payload = payload.numpy().tobytes()
        return tensor.asarray(self.decode(payload, size), device=device)

    def _checked_payload(self, payload: Payload, size: int) -> Bytes:
        """The payload as uint8[payload_bytes(size)], without a copy."""
        self._check_length(memoryview(payload).nbytes, size)
        return numpy.frombuffer(payload, numpy.uint8)

    def _check_length(self, seen: int, size: int) -> None:
        """Raise CodecError unless a payload of `size` values has `seen` bytes."""
        expected = self.payload_bytes(size)
        if seen != expected:
            raise CodecError(
                f"{self.name}: a payload of {size} values has {expected} bytes, but this one has {seen}. "
                f"Check that both peers run the same job: `mesh status` shows its hash."
            )


def checked_size(size: int) -> int:
    """`size` itself; raises CodecError if it is negative."""
    if size < 0:
        raise CodecError(f"a vector cannot have {size} values; give a size of 0 or more.")
    return size


def check_vector(array: Any) -> None:
    """Raise CodecError unless `array`, of NumPy or of a device, is float32 and has one axis."""
    if array.dtype != numpy.float32 or array.ndim != 1:
        raise CodecError(
            f"a codec takes a flat float32 vector, but got {array.dtype} of shape {array.shape}. "
            f"Write x.astype(float32) and reshape(-1) where that is meant."
        )


def host_vector(array: Any) -> Floats:
    """`array` as contiguous float32[size] on the host; raises CodecError for another dtype or rank."""
    vector = numpy.asarray(array)
    check_vector(vector)
    return numpy.ascontiguousarray(vector)


def refuse_non_finite(vector: Floats) -> None:
    """Raise NonFiniteError with the first index of `vector` that is NaN or infinite, if there is one."""
    finite = numpy.isfinite(vector)
    if not finite.all():
        index = int(numpy.argmin(finite))
        raise NonFiniteError(index, float(vector[index]))
