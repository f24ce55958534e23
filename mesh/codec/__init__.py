"""Vectors of float32 as bytes for the wire: 8 bits a value with Dettmers' dynamic tree, and plain formats.

No socket, clock or randomness: the same values give the same bytes, whichever device computes them.

    codec = mesh.codec.by_name("dettmers8", block=256)
    payload = codec.encode(gradient)                # bytes; 1.016 bytes a value
    codec.decode_add(payload, total)                # what the server of a bucket does
"""

from collections.abc import Callable

from mesh.codec.base import Codec
from mesh.codec.blockwise import BlockCodec
from mesh.codec.codebook import LINEAR, TREE
from mesh.codec.errors import CodecError, NonFiniteError
from mesh.codec.plain import PlainCodec

__all__ = ["Codec", "CodecError", "NonFiniteError", "by_name", "names"]

_MAKERS: dict[str, Callable[[int], Codec]] = {
    "dettmers8": lambda block: BlockCodec("dettmers8", block, (TREE,)),
    "adaptive8": lambda block: BlockCodec("adaptive8", block, (TREE, LINEAR)),
    "fp32": lambda block: PlainCodec("fp32", "<f4"),
    "fp16": lambda block: PlainCodec("fp16", "<f2"),
}


def names() -> list[str]:
    """Names that `by_name` knows."""
    return list(_MAKERS)


def by_name(name: str, block: int = 256) -> Codec:
    """The codec `name`, with `block` values to a scale where it has scales.

    Raises CodecError for an unknown name, with the names there are, and for a block below 1.
    """
    if name not in _MAKERS:
        raise CodecError(f"there is no codec {name!r}; choose one of {', '.join(_MAKERS)}.")
    return _MAKERS[name](block)
