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

# The file goes writer by writer. Of the first 1,782 images every sixth is for testing, so that each
# writer is in both parts, as each digit is; a cut near the end would test on writers who were never seen.
_TEST = slice(5, 1782, 6)


def load_digits(root: Path | None = None) -> Dataset:
    """The digits, uint8 [N, 8, 8, 1] of 0 to 16: 1,500 to train on, 297 to test with.

    The order in each part is the published one, not shuffled. `root` is not needed, as the data is in the
    package.
    """
    with resources.files("nn.data").joinpath("digits.npz").open("rb") as file, numpy.load(file) as archive:
        images = archive["images"][..., numpy.newaxis]
        labels = archive["labels"].astype(numpy.int32)
    is_test = numpy.zeros(len(images), bool)
    is_test[_TEST] = True
    return Dataset(
        name="digits",
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
        classes=10,
        scale=1 / 16,
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, doi:10.24432/C50P49, "
        "as distributed by scikit-learn (BSD-3-Clause)",
        licence="CC BY 4.0",
    )
