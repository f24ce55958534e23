"""Texts as numbers, one a character, to train language models on.

| name              | characters           | where it comes from                                             |
|-------------------|----------------------|-----------------------------------------------------------------|
| `tinyshakespeare` | 1,115,394, of 65     | A. Karpathy's char-rnn on GitHub, data/tinyshakespeare          |

Its file is looked for on disk, as those of data sets are, and else downloaded.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from nn.data.finding import data_folders, download, found
from nn.errors import DataError

Tokens = NDArray[numpy.int32]

_FILES = {"tinyshakespeare": "input.txt"}  # each in a folder of its name
_REVISION = "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
MIRRORS = {
    "tinyshakespeare": (
        f"https://raw.githubusercontent.com/karpathy/char-rnn/{_REVISION}/data/tinyshakespeare/",
    )
}
SHA256 = {"tinyshakespeare": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}


@dataclass(frozen=True, eq=False)
class Pieces:
    """Every piece of `length` tokens, as an `nn.data.Loader` reads them: sample i begins at place i, and is
    labelled with the tokens that follow each of its own."""

    tokens: NDArray[numpy.integer]
    length: int
    scale: float | None = None  # tokens are no images

    def __len__(self) -> int:
        return len(self.tokens) - self.length

    def gather(self, ids: NDArray[numpy.int64]) -> tuple[Tokens, Tokens]:
        """The pieces that begin at `ids`, and what follows: int32 [n, length]."""
        return pieces(self.tokens, ids, self.length)


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers of characters, split in a beginning to train on and an end to validate with.

    `characters` is the table: character i is token i. train, validation: uint8 where there are at most 256
    characters, else int32; one-dimensional.
    """

    name: str
    characters: str
    train: NDArray[numpy.integer]
    validation: NDArray[numpy.integer]

    def encode(self, text: str) -> Tokens:
        """The tokens of `text`, int32 [len(text)]; raises `DataError` for a character that is not there."""
        places = {character: place for place, character in enumerate(self.characters)}
        unknown = next((each for each in text if each not in places), None)
        if unknown is not None:
            raise DataError(
                f"{self.name} has no character {unknown!r}; expected some of {self.characters!r}."
            )
        return numpy.array([places[each] for each in text], dtype=numpy.int32)

    def decode(self, tokens: NDArray[numpy.integer]) -> str:
        """The text of one-dimensional `tokens`."""
        return "".join(self.characters[token] for token in tokens)

    def training(self, length: int) -> Pieces:
        """All pieces of the training part, for a Loader. Raises `DataError` for a text that is too short."""
        _windows(self.train, length, self.name)
        return Pieces(self.train, length)

    def training_batch(self, seed: int, step: int, size: int, length: int) -> tuple[Tokens, Tokens]:
        """Pieces from anywhere in the training part, and what follows each character: int32 [size, length].

        Where they begin is a function of (seed, step) alone. Raises `DataError` for a text that is too short.
        """
        places = len(_windows(self.train, length, self.name))
        key = hashlib.sha256(f"text:{seed}:{step}".encode()).digest()
        bits = numpy.random.Philox(key=int.from_bytes(key[:16], "little")).random_raw(size)
        return pieces(self.train, bits % numpy.uint64(places), length)

    def validation_windows(self, length: int) -> tuple[Tokens, Tokens]:
        """The validation part cut in pieces, and what follows each character: int32 [pieces, length].

        Less than a piece is left out at the end. Raises `DataError` for a text that is too short.
        """
        places = len(_windows(self.validation, length, self.name))
        return pieces(self.validation, numpy.arange(0, places, length), length)


def pieces(
    tokens: NDArray[numpy.integer], places: NDArray[numpy.integer], length: int
) -> tuple[Tokens, Tokens]:
    """The `length` tokens from each of `places`, and the tokens that follow each: int32 [places, length]."""
    whole = numpy.lib.stride_tricks.sliding_window_view(tokens, length + 1)[places].astype(numpy.int32)
    return whole[:, :-1].copy(), whole[:, 1:].copy()


def is_text(name: str) -> bool:
    """Whether `load_text`, not `load`, reads the data set `name`: a known text, or a file *.txt."""
    return name in _FILES or name.endswith(".txt")


def text_names() -> tuple[str, ...]:
    """The names that `load_text` knows."""
    return tuple(_FILES)


def load_text(name: str | Path, validation: float = 0.1, root: str | Path | None = None) -> Text:
    """The text `name`, "tinyshakespeare" or the path of a UTF-8 file, with its last part for validation.

    `root` is the folder that holds one folder per data set; without it the environment variable MESH_DATA
    names it, and without that it is the user's cache folder. `validation` is the part to validate with,
    within (0, 1). Raises `DataError` (exit code 5) if the file is missing and cannot be downloaded, is empty
    or is not UTF-8.
    """
    if not 0 < validation < 1:
        raise DataError(f"load_text: expected 0 < validation < 1, got {validation}.")
    text = _read(_find(str(name), root) if str(name) in _FILES else Path(name))
    characters = "".join(sorted(set(text)))
    codes = numpy.frombuffer(text.encode("utf-32-le"), dtype=numpy.uint32)
    table = numpy.frombuffer(characters.encode("utf-32-le"), dtype=numpy.uint32)
    places = numpy.searchsorted(table, codes)
    tokens = places.astype(numpy.uint8) if len(table) <= 256 else places.astype(numpy.int32)
    cut = round(len(tokens) * (1 - validation))
    return Text(str(name), characters, tokens[:cut], tokens[cut:])


def _find(name: str, root: str | Path | None) -> Path:
    folders, file = data_folders(name, root), _FILES[name]
    return found(folders, (file,)) or download(
        name, MIRRORS[name], file, SHA256[name], folders, "a text of your own (--data my.txt)"
    )


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Known by name are: {', '.join(_FILES)}."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    if not text:
        raise DataError(f"{path} is empty; expected a text.")
    return text


def _windows(tokens: NDArray[numpy.integer], length: int, name: str) -> NDArray[numpy.integer]:
    """All pieces of length + 1, as a view."""
    if not 1 <= length < len(tokens):
        raise DataError(
            f"{name} has a part of {len(tokens)} characters, which pieces of length {length} do not fit; "
            "expected a length of at least 1 and a longer text."
        )
    return numpy.lib.stride_tricks.sliding_window_view(tokens, length + 1)
