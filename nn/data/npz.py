"""Data sets of one's own in one NumPy archive (.npz), as `numpy.savez` writes it.

| arrays                                                | which part is for testing           |
|-------------------------------------------------------|-------------------------------------|
| train_images, train_labels, test_images, test_labels  | as given                            |
| x_train, y_train, x_test, y_test                      | as given                            |
| images, labels                                        | every fifth image of each class     |

Images are whole numbers from 0 to 255 [N, H, W, C] or [N, H, W]; labels are whole numbers from 0, [N] or [N,
1]. `scale`, by which images are multiplied for a network, is 1/255 if it is not there.
"""

from pathlib import Path
from typing import Any

import numpy

import tensor
from nn.data.dataset import Dataset, divided
from nn.errors import DataError
from tensor.dtypes import HostArray
from tensor.errors import FileFormatError

_DIVIDED = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_WHOLE = ("images", "labels")


def load_npz(path: Path) -> Dataset:
    """The data set in the archive at `path`; raises `DataError` if it is missing, damaged, or none."""
    arrays = _read(path)
    names = next((names for names in (*_DIVIDED, _WHOLE) if set(names) <= set(arrays)), None)
    if names is None:
        raise DataError(
            f"{path} has the arrays {', '.join(arrays) or 'none'}; expected {', '.join(_DIVIDED[0])}, or "
            f"{' and '.join(_WHOLE)}."
        )
    images = [_images(arrays[name], f"{name} in {path}") for name in names[::2]]
    labels = [_labels(arrays[name], f"{name} in {path}") for name in names[1::2]]
    facts: dict[str, Any] = {
        "classes": 1 + max((int(each.max()) for each in labels if each.size), default=0),
        "scale": float(arrays["scale"]) if "scale" in arrays else 1 / 255,
        "source": f"the file {path}",
        "licence": "",
    }
    if names == _WHOLE:
        return divided(str(path), images[0], labels[0], **facts)
    return Dataset(str(path), images[0], labels[0], images[1], labels[1], **facts)


def _read(path: Path) -> dict[str, HostArray]:
    try:
        content = tensor.load(path, device="numpy")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Check the path and its rights."
        ) from error
    except FileFormatError as error:
        raise DataError(str(error)) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds one array without a name; expected an archive, from numpy.savez.")
    return {name: array.host() for name, array in content.items()}


def _images(values: HostArray, where: str) -> HostArray:
    if values.ndim == 3:
        values = values[..., numpy.newaxis]
    if values.ndim != 4:
        raise DataError(f"{where} has the shape {list(values.shape)}; expected [N, height, width, channels].")
    if values.dtype.kind not in "iu" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise DataError(
            f"{where} holds {values.dtype.name} from {values.min(initial=0):g} to {values.max(initial=0):g}; "
            "expected whole numbers from 0 to 255, which numpy.uint8(255 * x + 0.5) makes of x from 0 to 1."
        )
    return values.astype(numpy.uint8, copy=False)


def _labels(values: HostArray, where: str) -> HostArray:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            f"{where} is {values.dtype.name} {list(values.shape)}; expected whole numbers, one an image."
        )
    least, largest, held = values.min(initial=0), values.max(initial=0), numpy.iinfo(numpy.int32)
    if least < held.min or largest > held.max:  # which as int32 would be other classes
        raise DataError(f"{where} runs from {least} to {largest}; expected labels from 0 to {held.max:,}.")
    return values.astype(numpy.int32)
