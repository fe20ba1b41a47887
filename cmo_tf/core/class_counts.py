"""Arithmetic on class counts that losses, callbacks and sampling share (numpy only)."""

from collections.abc import Mapping

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike


def check_counts(class_counts: ArrayLike) -> np.ndarray:
    """Class counts as float64 (C,); a UserError names the first class that is not a count.

    Zero is allowed (a class without training images); at least one class must have an image.
    """
    if isinstance(class_counts, Mapping):
        raise UserError("class_counts: a dict; give one number a class in the order of the labels, "
                        "[counts[label] for label in range(num_classes)]")
    counts = np.asarray(class_counts, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise UserError(f"class_counts: one number a class is needed, got an array of shape {counts.shape}")
    bad = np.flatnonzero(~np.isfinite(counts) | (counts < 0))
    if bad.size:
        raise UserError(f"class_counts: class {bad[0]} has {counts[bad[0]]} images; counts are finite and not negative")
    if not counts.any():
        raise UserError("class_counts: every class is empty")
    return counts


def check_labels(labels: ArrayLike, num_classes: int | None, where: str) -> None:
    """A UserError that names the first row whose label is no integer in 0..num_classes-1 (0 or more where the number of
    classes is not known), or says that there are no labels.

    Args:
        labels: one a row.
        num_classes: C, or None.
        where: leads the message.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise UserError(f"{where}: needs one label an image and at least one image; labels have shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where}: labels are {labels.dtype} (row 0 is {labels[0]!r}); they must be integers")
    bad = np.flatnonzero(labels < 0 if num_classes is None else (labels < 0) | (labels >= num_classes))
    if bad.size:
        allowed = "0 or more" if num_classes is None else f"0..{num_classes - 1} with {num_classes} classes"
        counted = "; these begin at 1: take 1 from each" if labels.min() == 1 and labels.max() == num_classes else ""
        raise UserError(f"{where}: row {bad[0]} has label {labels[bad[0]]}; labels are {allowed}{counted}")


def check_size(name: str, number: int | None, least: int = 1) -> None:
    """A UserError unless a caller's number is a whole one of at least `least`; None, for not said, passes."""
    if number is not None and (not isinstance(number, (int, np.integer)) or number < least):
        raise UserError(f"{name}={number!r}: must be a whole number of at least {least}")


def effective_number(class_counts: ArrayLike, beta: float = 0.9999) -> np.ndarray:
    """Effective number of images E(n) = (1 - beta^n) / (1 - beta) of each class, float64 (C,).

    Args:
        class_counts: (C,) counts; zero gives 0.
        beta: in [0, 1); 0 gives 1 for every class that has an image.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019), Eq. 2; CMO Eq. 3.

    Examples:
        >>> effective_number([5000, 50, 0]).round(2).tolist()
        [3934.85, 49.88, 0.0]
    """
    if not 0 <= beta < 1:
        raise UserError(f"beta: {beta} is not in [0, 1)")
    counts = check_counts(class_counts)
    return (1.0 - np.power(beta, counts)) / (1.0 - beta)


def effective_number_weights(class_counts: ArrayLike, beta: float = 0.9999) -> np.ndarray:
    """Class weights 1 / E(n), rescaled to sum to the number of classes, float64 (C,).

    A class without images gets weight 0. Used by DRW with beta 0.9999 (LDAM-DRW and CMO code).

    Examples:
        >>> effective_number_weights([5000, 500, 50]).round(3).tolist()
        [0.034, 0.275, 2.691]
    """
    effective = effective_number(class_counts, beta)
    weights = np.divide(1.0, effective, out=np.zeros_like(effective), where=effective > 0)
    return weights * (len(weights) / weights.sum())


def inverse_frequency_weights(class_counts: ArrayLike, power: float = 1.0) -> np.ndarray:
    """Class weights 1 / n^power, rescaled to sum to the number of classes, float64 (C,).

    Power 1 is `IBReweight` of the influence-balanced loss; 1/2 the milder square root. A class without images gets
    weight 0.

    Examples:
        >>> inverse_frequency_weights([100, 50]).round(3).tolist()
        [0.667, 1.333]
    """
    counts = check_counts(class_counts)
    weights = np.power(counts, -power, out=np.zeros_like(counts), where=counts > 0)
    return weights * (len(weights) / weights.sum())
