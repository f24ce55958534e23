"""What a data set is: two sets of labelled images, and where they come from."""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from nn.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split in a part to train on and a part to test with.

    Images are uint8 [N, height, width, channels]; a network is fed `images * scale`, float32 within [0, 1].
    Labels are int32 [N] within [0, classes). Raises `DataError` when images and labels do not fit each other.
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

    def __post_init__(self) -> None:
        self._check_split("training", self.train_images, self.train_labels)
        self._check_split("test", self.test_images, self.test_labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    def _check_split(self, split: str, images: NDArray[numpy.uint8], labels: NDArray[numpy.int32]) -> None:
        if len(images) != len(labels):
            raise DataError(
                f"The {split} part of {self.name} has {len(images)} images but {len(labels)} labels: its two "
                "files do not belong together. Put the matching pair there, or delete both files."
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise DataError(
                f"The {split} labels of {self.name} run from {labels.min()} to {labels.max()}; expected 0 to "
                f"{self.classes - 1}. The label file is damaged: delete it to have it downloaded again."
            )
