"""What can go wrong between an array and its bytes.

MeshError
└── CodecError            a name, a length or a payload that no encoder of ours makes
    └── NonFiniteError    the array holds a value that must never reach another peer
"""

from tensor.errors import MeshError


class CodecError(MeshError):
    """The codec's name, its block, the array or the payload is not acceptable."""


class NonFiniteError(CodecError):
    """The array holds NaN or an infinity (or a value that the codec would turn into one)."""

    def __init__(self, index: int, value: float, reason: str = "is not finite") -> None:
        super().__init__(
            f"value {value!r} at index {index} {reason}; it was not encoded. "
            f"Lower the learning rate, or look for the layer that made it."
        )
        self.index = index
        self.value = value
