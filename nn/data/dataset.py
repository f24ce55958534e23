"""What a data set is: two sets of labelled images, and where they come from."""

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """One part of a data set, as an `nn.data.Loader` reads it."""

    images: NDArray[numpy.uint8]
    labels: NDArray[numpy.int32]
    scale: float | None

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, ids: NDArray[numpy.int64]) -> tuple[NDArray[numpy.uint8], NDArray[numpy.int32]]:
        """Images and labels of the samples `ids`."""
        return self.images[ids], self.labels[ids]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split in a part to train on and a part to test with.

    Images are uint8 [N, height, width, channels]; a network is fed `images * scale`, float32 within [0, 1].
    Labels are int32 [N] within [0, classes), and `class_names`, where they are known, say what they stand
    for. Raises `DataError` when images and labels do not fit each other, or there are none.
    """

    name: str
    train_images: NDArray[numpy.uint8]
    train_labels: NDArray[numpy.int32]
    test_images: NDArray[numpy.uint8]
    test_labels: NDArray[numpy.int32]
    classes: int
    scale: float
    source: str
    licence: str
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_split("training", self.train_images, self.train_labels)
        self._check_split("test", self.test_images, self.test_labels)

    @property
    def training(self) -> LabelledImages:
        """The part to train on, for a Loader."""
        return LabelledImages(self.train_images, self.train_labels, self.scale)

    @property
    def testing(self) -> LabelledImages:
        """The part to test with, for a Loader."""
        return LabelledImages(self.test_images, self.test_labels, self.scale)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    def _check_split(self, split: str, images: NDArray[numpy.uint8], labels: NDArray[numpy.int32]) -> None:
        _require_pairs(f"The {split} part of {self.name}", images, labels)
        if not len(images):
            raise DataError(f"The {split} part of {self.name} has no images; at least one is needed.")
        if images.shape[1:] != self.train_images.shape[1:]:
            raise DataError(
                f"The {split} images of {self.name} are {list(images.shape[1:])}, those to train on "
                f"{list(self.train_images.shape[1:])}; expected one shape."
            )
        if not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            last = f"to {self.classes - 1}" if self.classes > 0 else "and more"
            raise DataError(
                f"The {split} labels of {self.name} run from {labels.min()} to {labels.max()}; expected 0 "
                f"{last}. Put sound labels there: those of a set by name are downloaded once their file is "
                "gone."
            )


def divided(name: str, images: NDArray[numpy.uint8], labels: NDArray[numpy.int32], **facts: Any) -> Dataset:
    """Images that come without a test part: every fifth of each class, in the given order, is to test with.

    Of a class with two to four images it is the last one. `facts` are the other fields of the `Dataset`.
    """
    _require_pairs(f"The data set {name}", images, labels)
    is_test = numpy.zeros(len(images), bool)
    for each in numpy.unique(labels):
        places = numpy.flatnonzero(labels == each)
        is_test[places[4::5] if len(places) >= 5 else places[1:][-1:]] = True
    train, test = numpy.flatnonzero(~is_test), numpy.flatnonzero(is_test)
    return Dataset(name, images[train], labels[train], images[test], labels[test], **facts)


def _require_pairs(what: str, images: NDArray[numpy.uint8], labels: NDArray[numpy.int32]) -> None:
    if len(images) != len(labels):
        raise DataError(
            f"{what} has {len(images)} images but {len(labels)} labels: they do not belong together. Put "
            "matching ones there: those of a set by name are downloaded once their files are gone."
        )
