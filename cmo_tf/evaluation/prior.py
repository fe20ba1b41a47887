"""Post-hoc logit adjustment: moving trained logits to the class distribution of the test set (numpy only)."""

import os

import numpy as np

from cmo_tf.core.class_counts import check_counts
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike

KINDS = ("none", "uniform", "train")
FILE = "file:"


def check(test_prior: str) -> None:
    """A UserError unless `test_prior` is something that `logit_offset` knows."""
    if test_prior not in KINDS and not (test_prior.startswith(FILE) and test_prior[len(FILE):]):
        raise UserError(f"--test_prior={test_prior}: there are {', '.join(KINDS)} and file:PATH")


def logit_offset(test_prior: str, class_counts: ArrayLike, tau: float = 1.0,
                 prior_free: bool = False) -> np.ndarray | None:
    """What is added to the logits of every test image, float64 (C,), or None for nothing.

    `log test_prior - tau * log training_prior`; the second part only for logits that hold the training prior. A class
    without training images counts like the rarest that has some.

    Args:
        test_prior: "none", "uniform", "train" (distributed as the training set), or "file:PATH", a text file with one
            positive number a class in label order.
        class_counts: (C,) training images of each class.
        tau: of the training prior, at least 0.
        prior_free: whether the loss has taken the training prior out of the logits already (Balanced Softmax, LADE,
            logit adjustment).

    Source: Menon et al., "Long-tail learning via logit adjustment" (ICLR 2021), Eq. 9; for other test distributions
    Hong et al., "Disentangling Label Distribution for Long-Tailed Visual Recognition" (CVPR 2021).

    Examples:
        >>> logit_offset("uniform", [75, 25]).round(3).tolist()  # -log of the training prior
        [0.288, 1.386]
    """
    check(test_prior)
    if test_prior == "none":
        return None
    counts = check_counts(class_counts)
    train = np.log(np.maximum(counts, counts[counts > 0].min()) / counts.sum())
    if test_prior == "uniform":
        test = np.zeros_like(train)
    else:
        test = train if test_prior == "train" else np.log(_read(test_prior[len(FILE):], len(counts)))
    return test if prior_free else test - tau * train


def _read(path, num_classes):
    """float64 (C,), summing to 1."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:  # numpy would fetch an address, too
            numbers = np.loadtxt(file, dtype=np.float64, ndmin=1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds something else than numbers"
        raise UserError(f"--test_prior={FILE}{path}: cannot be read ({reason})") from None
    if numbers.shape != (num_classes,) or not np.isfinite(numbers).all() or not (numbers > 0).all():
        raise UserError(f"--test_prior={FILE}{path}: {num_classes} positive numbers are needed, one a line in label "
                        f"order; there are {numbers.size}")
    return numbers / numbers.sum()
