"""scikit-learn's bundled digits: real scanned digits that need no download; the set of the quickstart."""

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.source import Source, Split

TEST_PER_CLASS = 30
# Measured on the 1,497 training images.
MEAN = (0.305,)
STD = (0.3764,)


def load(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """1,797 grey digits of 8x8 pixels: 1,497 for training (144 to 153 a class) and 300 for testing (30 a class).

    The bundled values 0..16 become uint8 by `value * 255 // 16`. The test split is FIXED: the first 30 of each
    class' images under one legacy RandomState(0), so every seed and every machine is judged by the same images.
    `data_dir`, `download`, `seed` and `test_fraction` have nothing to act on here.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), its test part, as
    bundled with scikit-learn.
    """
    if image_size not in (None, 8):
        raise UserError(f"--image_size={image_size}: the digits are 8x8; leave the flag out")
    from sklearn.datasets import load_digits  # slow to import

    bunch = load_digits()
    images = (bunch.images.astype(np.uint16) * 255 // 16).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    test = fixed_test_mask(labels)
    return Source(
        name="digits",
        train=Split(images[~test], labels[~test]),
        test=Split(images[test], labels[test]),
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(8, 8, 1),
        mean=MEAN,
        std=STD,
        augment="pad1",
    )


def fixed_test_mask(labels: np.ndarray) -> np.ndarray:
    """Boolean (N,), True for the 30 images of each class that every run is tested on."""
    random = np.random.RandomState(0)
    mask = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        mask[random.permutation(np.flatnonzero(labels == digit))[:TEST_PER_CLASS]] = True
    return mask
