"""Data that travels: a data set is cut in chunks named by their SHA-256, which any peer that has them can
give.

A peer that joins without the data gets the list of chunks, the manifest, and asks for what its next samples
need first and for the rest behind. What arrives is checked against its name and kept in the user's cache
folder, so that it travels once.

Of images, a sample is a row. Of a text, sample i is the `length` characters that begin at place i, and its
labels are the characters that follow each of them: the text itself lies here, and travels, once.
"""

import hashlib
import math
import os
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mesh.errors import JobFailedError, ProtocolError
from mesh.message import PAYLOAD_BYTES_MOST, Payload
from nn.data import Dataset, Text, is_text, load, load_text, pieces
from tensor.program import cache_folder

CHUNK_BYTES = 1 << 20
WAIT_S = 60.0
_HEXADECIMAL = frozenset("0123456789abcdef")
IMAGE_PARTS = ("train_images", "train_labels", "test_images", "test_labels")
TEXT_PARTS = ("train", "validation")


@dataclass(frozen=True)
class Part:
    """One array of the data set: its first axis counts samples, and each chunk holds `rows` of them,
    the last one fewer.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: int
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """A data set without its contents: everything that a peer must know to ask for them.

    `length` is that of a text's samples, and 0 for images.
    """

    name: str
    classes: int
    scale: float
    source: str
    licence: str
    length: int
    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """The manifest as plain data for the wire."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> "Manifest":
        """The manifest that `to_dict` wrote; ProtocolError where that cannot be."""
        try:
            parts = tuple(
                Part(
                    part["name"],
                    np.dtype(part["dtype"]).str,
                    tuple(int(n) for n in part["shape"]),
                    int(part["rows"]),
                    tuple(str(digest) for digest in part["digests"]),
                )
                for part in facts["parts"]
            )
            manifest = cls(**{**facts, "parts": parts})
            manifest.check()
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ProtocolError(f"the peer's data manifest is not one of this version: {error}") from error
        return manifest

    def check(self) -> None:
        """Raise ValueError unless the parts are those of a data set and their sizes fit their chunks."""
        if tuple(part.name for part in self.parts) != (TEXT_PARTS if self.length else IMAGE_PARTS):
            raise ValueError(f"its parts are {[part.name for part in self.parts]}")
        if self.length and any(
            len(part.shape) != 1 or not 0 < self.length < part.shape[0] for part in self.parts
        ):
            raise ValueError(f"samples of {self.length} characters do not fit its text")
        for part in self.parts:
            chunks = -(-part.shape[0] // max(part.rows, 1)) if part.shape else 0
            size_bytes = part.rows * math.prod(part.shape[1:]) * np.dtype(part.dtype).itemsize
            if not all(len(digest) == 64 and set(digest) <= _HEXADECIMAL for digest in part.digests):
                raise ValueError(f"{part.name} has chunks that are not named by their SHA-256")
            if np.dtype(part.dtype).kind not in "iu":
                raise ValueError(f"{part.name} has values of type {part.dtype}")
            if (
                min(part.shape, default=-1) < 0
                or part.rows < 1
                or len(part.digests) != chunks
                or size_bytes > PAYLOAD_BYTES_MOST
            ):
                raise ValueError(
                    f"{part.name} {part.shape} does not fit {len(part.digests)} chunks of {part.rows} rows"
                )

    @property
    def samples(self) -> int:
        """Number of training samples."""
        return self.parts[0].shape[0] - self.length

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample as a network takes it."""
        return (self.length,) if self.length else self.parts[0].shape[1:]

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of one sample's labels."""
        return (self.length,) if self.length else self.parts[1].shape[1:]


class Store:
    """The chunks of one data set that this peer has, in whole arrays; safe for the event loop and the
    compute thread.

    `wanted` is what is missing, the most urgent first.
    """

    def __init__(self, manifest: Manifest, cache: Path | None) -> None:
        self.manifest = manifest
        self.arrays = {part.name: np.empty(part.shape, part.dtype) for part in manifest.parts}
        self._cache = cache
        self._places: dict[str, list[tuple[Part, int]]] = {}  # equal chunks have one name, and many places
        for part in manifest.parts:
            for number, digest in enumerate(part.digests):
                self._places.setdefault(digest, []).append((part, number * part.rows))
        self._missing = dict.fromkeys(self._places)  # an ordered set
        self._urgent: dict[str, None] = {}
        self._arrived = threading.Condition()

    @classmethod
    def loaded(cls, name: str, length: int) -> "Store":
        """A complete store of the data set `name`, read from this machine; raises DataError."""
        return cls.of(load_text(name), length) if is_text(name) else cls.of(load(name))

    @classmethod
    def of(cls, data: Dataset | Text, length: int = 0) -> "Store":
        """A complete store with the contents of `data`; a text is cut in samples of `length` characters.

        Raises DataError for a text that is too short.
        """
        names = TEXT_PARTS if isinstance(data, Text) else IMAGE_PARTS
        parts = tuple(_cut(name, getattr(data, name)) for name in names)
        if isinstance(data, Text):
            data.validation_windows(length)  # is it long enough?
            manifest = Manifest(data.name, len(data.characters), 1.0, "", "", length, parts)
        else:
            manifest = Manifest(data.name, data.classes, data.scale, data.source, data.licence, 0, parts)
        store = cls(manifest, None)
        store.arrays = {name: np.ascontiguousarray(getattr(data, name)) for name in names}
        store._missing.clear()
        return store

    @classmethod
    def fetched(cls, manifest: Manifest) -> "Store":
        """A store with what this machine's cache has of `manifest`."""
        store = cls(manifest, cache_folder() / "chunks")
        for digest in list(store._places):
            payload = store._read(digest)
            if payload is not None:
                store.add(digest, payload, keep=False)
        return store

    @property
    def complete(self) -> bool:
        """Whether every chunk is here."""
        return not self._missing

    @property
    def wanted(self) -> list[str]:
        """The chunks to ask for, in this order."""
        with self._arrived:
            return [*self._urgent, *(digest for digest in self._missing if digest not in self._urgent)]

    def get(self, digest: str) -> Payload:
        """The bytes of a chunk; empty where it is not here."""
        places = self._places.get(digest)
        if not places or digest in self._missing:
            return b""
        part, row = places[0]
        return self.arrays[part.name][row : row + part.rows].data.cast("B")

    def add(self, digest: str, payload: Payload, keep: bool = True) -> bool:
        """Take a chunk that arrived; False where it is not what its name says, and was dropped."""
        places = self._places.get(digest)
        if not places or hashlib.sha256(payload).hexdigest() != digest:
            return False
        targets = [(part, self.arrays[part.name][row : row + part.rows]) for part, row in places]
        if any(target.nbytes != len(payload) for _, target in targets):
            return False  # the manifest names a chunk that does not fit
        for part, target in targets:
            target[...] = np.frombuffer(payload, part.dtype).reshape(target.shape)
        if keep:
            self._write(digest, payload)
        with self._arrived:
            self._missing.pop(digest, None)
            self._urgent.pop(digest, None)
            self._arrived.notify_all()
        return True

    def gather(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The training samples `ids` with their labels, waiting for chunks on their way: uint8 [n, H, W, C]
        and int32 [n], or of a text int32 [n, length] both.

        Raises JobFailedError when they have not come in a minute.
        """
        if self.manifest.length:
            self._await("train", ids, self.manifest.length)
            return pieces(self.arrays["train"], ids, self.manifest.length)
        self._await("train_images", ids)
        self._await("train_labels", ids)
        return self.arrays["train_images"][ids], self.arrays["train_labels"][ids]

    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """All test samples and labels, waiting for them as `gather` does; of a text its pieces, one behind
        the other.
        """
        for name in self.arrays:
            if not name.startswith("train"):
                self._await(name, np.arange(len(self.arrays[name])))
        if self.manifest.length:
            text, length = self.arrays["validation"], self.manifest.length
            return pieces(text, np.arange(0, len(text) - length, length), length)
        return self.arrays["test_images"], self.arrays["test_labels"]

    def _await(self, name: str, ids: np.ndarray, behind: int = 0) -> None:
        """Wait for the rows `ids`, and as many as `behind` after each."""
        if self.complete:
            return
        part = next(part for part in self.manifest.parts if part.name == name)
        chunks = {
            number
            for first, last in zip(
                (ids // part.rows).tolist(), ((ids + behind) // part.rows).tolist(), strict=True
            )
            for number in range(first, last + 1)
        }
        needed = {part.digests[number] for number in chunks}
        with self._arrived:
            self._urgent.update(dict.fromkeys(digest for digest in sorted(needed) if digest in self._missing))
            if not self._arrived.wait_for(lambda: not needed & self._missing.keys(), WAIT_S):
                raise JobFailedError(
                    f"{len(needed & self._missing.keys())} parts of {self.manifest.name} came from no peer "
                    f"in {WAIT_S:.0f} s: is a peer that has the data still in the mesh?"
                )

    def _read(self, digest: str) -> bytes | None:
        try:
            return (self._cache / digest).read_bytes() if self._cache else None
        except OSError:
            return None  # not there yet

    def _write(self, digest: str, payload: Payload) -> None:
        """Keep a chunk for the next time. Training goes on without, if the disk is full."""
        if self._cache is None:
            return
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache) as folder:
                whole = Path(folder) / digest
                whole.write_bytes(payload)
                os.replace(whole, self._cache / digest)
        except OSError:
            self._cache = None


def _cut(name: str, array: np.ndarray) -> Part:
    array = np.ascontiguousarray(array)
    row_bytes = max(array[:1].nbytes, 1)
    rows = max(CHUNK_BYTES // row_bytes, 1)
    digests = tuple(
        hashlib.sha256(array[start : start + rows].data.cast("B")).hexdigest()
        for start in range(0, len(array), rows)
    )
    return Part(name, array.dtype.str, array.shape, rows, digests)
