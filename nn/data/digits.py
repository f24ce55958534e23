"""The 1,797 handwritten digits of 8×8 pixels that ship with the package: a first run needs no network.

Source: E. Alpaydin, C. Kaynak: "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
1998, https://doi.org/10.24432/C50P49 (its test set), licence CC BY 4.0; in the form that scikit-learn
(BSD-3-Clause) distributes as `sklearn/datasets/data/digits.csv.gz`, here stored as one compressed NumPy
archive.
"""

from importlib import resources
from pathlib import Path

import numpy

from nn.data.dataset import Dataset

_TRAIN_SAMPLES = 1500


def load_digits(root: Path | None = None) -> Dataset:
    """The digits, uint8 [N, 8, 8, 1] of 0 to 16: the first 1,500 to train on, the last 297 to test with.

    The order is the published one, not shuffled. `root` is not needed, as the data is in the package.
    """
    with resources.files("nn.data").joinpath("digits.npz").open("rb") as file, numpy.load(file) as archive:
        images = archive["images"][..., numpy.newaxis]
        labels = archive["labels"].astype(numpy.int32)
    return Dataset(
        name="digits",
        train_images=images[:_TRAIN_SAMPLES],
        train_labels=labels[:_TRAIN_SAMPLES],
        test_images=images[_TRAIN_SAMPLES:],
        test_labels=labels[_TRAIN_SAMPLES:],
        classes=10,
        scale=1 / 16,
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, doi:10.24432/C50P49, "
        "as distributed by scikit-learn (BSD-3-Clause)",
        licence="CC BY 4.0",
    )
