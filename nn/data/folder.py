"""Data sets from folders of image files, one folder a class.

    photos/cat/1.jpg  photos/dog/1.jpg …              every fifth image of each class is to test with
    photos/train/cat/1.jpg …  photos/test/cat/9.jpg …   as they are; `val` and others are names for test

Files are read by Pillow, which is not installed with `mesh` unless asked for.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy
from numpy.typing import NDArray

from nn.data.dataset import Dataset, divided
from nn.errors import DataError

Result = TypeVar("Result")
Size = tuple[int, int]
_Listing = tuple[tuple[Path, str, int, int], ...]  # file, class, time of change in ns, bytes

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
USUAL_SIZE = (224, 224)
_TRAIN, _TEST = ("train", "training"), ("test", "val", "valid", "validation")
_GREY = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"))
_ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held; from 5 on, height is width
_NAMED = 5  # broken files in one error


def load_folder(path: str | Path, size: int | Size | None = None, channels: int | None = None) -> Dataset:
    """The images under `path`, uint8 [N, *size, channels], with the names of their folders as classes.

    Each is scaled until it covers `size` (one number, or height and width) and cut to it in the middle.
    Without a `size` it is that of the images if they have one, else 224×224. `channels` is 3 or 1 (grey);
    without it, 1 if all images are grey. Transparency is dropped. The same folder asked for twice in turn is
    read once. Raises `DataError`, which names every broken file (or the first five), and without Pillow.
    """
    if channels not in (None, 1, 3):
        raise DataError(f"load_folder: expected 1 or 3 channels, got {channels}.")
    wanted = (size, size) if isinstance(size, int) else size
    if wanted is not None and min(wanted) < 1:
        raise DataError(f"load_folder: expected a size of at least 1, got {size}.")
    folder = Path(path)
    train, test = _parts(folder)
    return _read(folder, _listed(train), () if test is None else _listed(test), wanted, channels)


def _parts(path: Path) -> tuple[Path, Path | None]:
    """The folders of classes to train on and, if there is one, to test with."""
    if not path.is_dir():
        raise DataError(f"There is no folder {path}.")
    folders = {each.name.lower(): each for each in path.iterdir() if each.is_dir()}
    train = next((folders[name] for name in _TRAIN if name in folders), None)
    test = next((folders[name] for name in _TEST if name in folders), None)
    if train is None:
        return path, None
    return train, test


def _listed(folder: Path) -> _Listing:
    """The image files of all classes, in the order of their names."""
    return tuple(_files(folder))


def _files(folder: Path) -> Iterator[tuple[Path, str, int, int]]:
    for classes in sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")
    ):
        for file in sorted(classes.rglob("*")):
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
                facts = file.stat()
                yield file, classes.name, facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=1)
def _read(path: Path, train: _Listing, test: _Listing, size: Size | None, channels: int | None) -> Dataset:
    files = [file for file, *_ in (*train, *test)]
    if not train:
        raise DataError(
            f"{path} has no images in folders of their classes, such as {path / 'cat' / '1.jpg'}; known are "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    names = sorted({name for _, name, *_ in train})
    unknown = sorted({name for _, name, *_ in test} - set(names))
    if unknown:
        raise DataError(f"{path} has images to test of {', '.join(unknown)}, but none to train on.")
    images = _decoded(files, size, channels)
    labels = numpy.array([names.index(name) for _, name, *_ in (*train, *test)], numpy.int32)
    facts: dict[str, Any] = {
        "classes": len(names),
        "scale": 1 / 255,
        "source": f"the folder {path}",
        "licence": "",
        "class_names": tuple(names),
    }
    if not test:
        return divided(str(path), images, labels, **facts)
    cut = len(train)
    return Dataset(str(path), images[:cut], labels[:cut], images[cut:], labels[cut:], **facts)


def _decoded(files: Sequence[Path], size: Size | None, channels: int | None) -> NDArray[numpy.uint8]:
    """All images, cut to one size."""
    if size is None or channels is None:
        headers = [*_each(files, lambda number, file: _header(file))]
        sizes = {each for each, _ in headers}
        size = size or (sizes.pop() if len(sizes) == 1 else USUAL_SIZE)
        channels = channels or (1 if all(is_grey for _, is_grey in headers) else 3)
    shape = (len(files), *size, channels)
    try:
        images = numpy.empty(shape, numpy.uint8)
    except MemoryError as error:
        raise DataError(
            f"{len(files)} images of {size[0]}×{size[1]} take {prod(shape):,} bytes, more memory than there "
            "is: ask for a smaller size."
        ) from error

    def decode(number: int, file: Path) -> None:
        images[number] = _pixels(file, shape[1:3], shape[3])

    _each(files, decode)
    return images


def _each(files: Sequence[Path], work: Callable[[int, Path], Result]) -> list[Result]:
    """work(number, file) for all files, in threads: Pillow lets others run while it decodes."""
    pillow()
    broken: list[str] = []

    def attempt(number: int, file: Path) -> Any:
        try:
            return work(number, file)
        except Exception as error:  # Pillow passes on whatever its decoders raise
            broken.append(f"{file} ({type(error).__name__}: {str(error)[:120]})")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [*pool.map(attempt, range(len(files)), files)]
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        raise DataError(
            f"{', '.join(sorted(broken)[:_NAMED])}{more} cannot be read as images. Remove them, or put sound "
            "copies there."
        )
    return results


def pillow() -> Any:
    """The package PIL with what is used of it; raises `DataError` where it is not installed."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise DataError(
            f"Image files are read by Pillow, which cannot be imported ({error}). Install it: "
            "pip install pillow, or pip install '.[images]' with mesh itself."
        ) from error
    return PIL


def _header(file: Path) -> tuple[Size, bool]:
    """Height and width as seen, and whether the image is grey, without its pixels."""
    with pillow().Image.open(file) as image:
        is_turned = image.getexif().get(_ORIENTATION, 1) >= 5
        return (image.width, image.height) if is_turned else (image.height, image.width), image.mode in _GREY


def _pixels(file: Path, size: Size, channels: int) -> NDArray[numpy.uint8]:
    """uint8 [*size, channels]: turned as the camera was held, scaled until it covers `size`, and cut."""
    height, width = size
    library = pillow()
    with library.Image.open(file) as image:
        image.draft(
            None, (2 * max(size), 2 * max(size))
        )  # of a JPEG much larger than that, not all is decoded
        image = _bytewise(library.ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
        fitted = library.ImageOps.fit(image, (width, height), library.Image.Resampling.BILINEAR)
        return numpy.asarray(fitted, numpy.uint8).reshape(height, width, channels)


def _bytewise(image: Any) -> Any:
    """An image of at most 8 bits a channel; of more, the upper 8 of 16."""
    if image.mode == "F":
        raise ValueError("its values are floats, whose range is unknown")
    if not image.mode.startswith("I"):
        return image
    upper = numpy.clip(numpy.asarray(image).astype(numpy.int64), 0, 0xFFFF) >> 8
    return pillow().Image.fromarray(upper.astype(numpy.uint8))
