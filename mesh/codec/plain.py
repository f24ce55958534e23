"""The codecs that only copy: float32 as it is, and IEEE half precision."""

from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from mesh.codec.base import Codec, Floats, Payload, Sum, checked_size, host_vector, refuse_non_finite
from mesh.codec.errors import CodecError, NonFiniteError

LARGEST_HALF = 65504.0  # IEEE 754-2008, binary16: (2 - 2**-10) * 2**15


class PlainCodec(Codec):
    """One little-endian IEEE number for each value; no blocks, no scales."""

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self._dtype = numpy.dtype(dtype)

    def payload_bytes(self, size: int) -> int:
        """Length in bytes of the payload of `size` values."""
        return checked_size(size) * self._dtype.itemsize

    def encode(self, array: Any) -> bytes:
        """Bytes of `array`, float32[size]; as half precision each value is rounded to nearest even."""
        vector = host_vector(array)
        refuse_non_finite(vector)
        with numpy.errstate(over="ignore", under="ignore"):
            narrow = vector.astype(self._dtype)
        overflow = numpy.isinf(narrow)
        if overflow.any():
            index = int(numpy.argmax(overflow))
            raise NonFiniteError(index, float(vector[index]), f"is beyond {self.name}'s {LARGEST_HALF:.0f}")
        return narrow.tobytes()

    def decode(self, payload: Payload, size: int) -> Floats:
        """Values float32[size] of `payload`."""
        return self._values(payload, size).astype(numpy.float32)

    def decode_add(self, payload: Payload, out: Sum) -> None:
        """Add the payload's values into `out`, float32[size], in place."""
        if isinstance(out, tensor.Array):
            out += self.decode_array(payload, out.size, device=out.device)
        else:
            out += self._values(payload, out.size)

    def _values(self, payload: Payload, size: int) -> NDArray[Any]:
        """The payload's numbers, [size], without a copy."""
        values = self._checked_payload(payload, size).view(self._dtype)
        if not numpy.isfinite(values).all():
            raise CodecError(f"{self.name}: the payload holds NaN or an infinity; it was not merged.")
        return values
