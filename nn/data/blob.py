"""The data that a definition of 2016 names in its `blob_data` layers: one for the phase train, one for test.

`file_prefix`.json is a list of labels from 0; `file_prefix`.bin has a record of bytes for each of them, with
the rows counting fastest, then the columns, then the channels. Source: mil-tokyo/sukiyaki2,
util/convert_images_to_blob_raw.py and src/layers/blob_data_layer.ts.
"""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.data.dataset import Dataset
from nn.errors import DataError


def load_blobs(path: Path) -> Dataset:
    """The data set that the definition at `path` names; images uint8 [N, H, W, C].

    Prefixes are paths from here, or else from the folder of the definition. Raises `DataError` where it names
    none, or files are missing, damaged, or of floats.
    """
    train_images, train_labels = _part(path, "train")
    test_images, test_labels = _part(path, "test")
    return Dataset(
        str(path),
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes=1 + int(max(train_labels.max(initial=0), test_labels.max(initial=0))),
        scale=1 / 256,
        source=f"the files that {path} names",
        licence="",
    )


def names_blobs(path: Path) -> bool:
    """Whether the definition at `path` has a `blob_data` layer."""
    return any(entry.get("type") == "blob_data" for entry in _entries(path))


def _entries(path: Path) -> list[dict[str, Any]]:
    """The layers of a definition; none of a file that is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []


def _params(path: Path, phase: str) -> dict[str, Any]:
    """Those of the layer that reads the data of a phase; a layer without one is of both."""
    for entry in _entries(path):
        params = entry.get("params")
        if (
            entry.get("type") == "blob_data"
            and isinstance(params, dict)
            and phase in entry.get("phase", phase)
        ):
            return params
    raise DataError(f"{path} has no blob_data layer to {phase}: say by --data what to train on.")


def _part(path: Path, phase: str) -> tuple[NDArray[numpy.uint8], NDArray[numpy.int32]]:
    params = _params(path, phase)
    prefix, shape, klass = (params.get(key) for key in ("file_prefix", "data_shape", "data_klass"))
    sizes = (
        shape if isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape) else []
    )
    if not isinstance(prefix, str) or len(sizes) != 3 or klass not in (None, "uint8"):
        raise DataError(
            f"{path} has data to {phase} with the file_prefix {prefix!r}, data_shape {shape!r} and "
            f"data_klass {klass!r}; expected a path, [height, width, channels], each at least 1, and uint8."
        )
    labels = _labels(_found(path, f"{prefix}.json"))
    file = _found(path, f"{prefix}.bin")
    size_bytes, wanted = file.stat().st_size, len(labels) * prod(sizes)
    if size_bytes != wanted:
        raise DataError(f"{file} has {size_bytes} bytes; {len(labels)} images of {shape} have {wanted}.")
    height, width, channels = sizes
    records = numpy.fromfile(file, numpy.uint8).reshape(-1, channels, width, height)
    return numpy.ascontiguousarray(records.transpose(0, 3, 2, 1)), labels


def _found(path: Path, name: str) -> Path:
    places = [Path(name), path.parent / name]
    file = next((each for each in places if each.is_file()), None)
    if file is None:
        raise DataError(
            f"{path} names {name}, which is not at {' or '.join(map(str, places))}. Put it there, or say by "
            "--data what to train on."
        )
    return file


def _labels(file: Path) -> NDArray[numpy.int32]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return numpy.array([int(value) for value in values], numpy.int32)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{file} is not a list of labels: {error}.") from error
