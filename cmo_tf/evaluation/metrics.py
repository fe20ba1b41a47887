"""Accuracy over the test set, by shot group and by class, and the confusion counts (numpy only)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.types import ArrayLike
from cmo_tf.long_tail import GROUPS


@dataclass(frozen=True)
class Predictions:
    """What a network said about a test set, one entry an image; a run keeps it as predictions.npz.

    Attributes:
        labels: int64 (N,), the true classes.
        predicted: int64 (N,), the classes with the largest logit.
        confidence: float32 (N,), softmax probability of the predicted class, in [0, 1].
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    def __post_init__(self):
        for name, dtype in (("labels", np.int64), ("predicted", np.int64), ("confidence", np.float32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name)).astype(dtype, copy=False))
        if self.labels.ndim != 1 or not self.labels.shape == self.predicted.shape == self.confidence.shape:
            shapes = self.labels.shape, self.predicted.shape, self.confidence.shape
            raise ValueError(f"labels, predicted and confidence need one entry an image, got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.labels)


def per_class_accuracy(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """Percent of each class' test images that are predicted as that class, float64 (C,); NaN without test images.

    Args:
        labels, predicted: ints (N,) in [0, num_classes).

    Examples:
        >>> per_class_accuracy([0, 0, 1], [0, 1, 1], num_classes=3).tolist()
        [50.0, 100.0, nan]
    """
    labels, predicted = _checked(labels, num_classes), _checked(predicted, num_classes)
    total = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels[labels == predicted], minlength=num_classes)
    return 100.0 * np.divide(hits, total, out=np.full(num_classes, np.nan), where=total > 0)


def micro_accuracy(labels: ArrayLike, predicted: ArrayLike) -> float | None:
    """Percent of all test images that are right (top-1); None for an empty test set."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    return 100.0 * float(np.mean(labels == predicted)) if labels.size else None


def macro_accuracy(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> float | None:
    """Mean of the per-class accuracies over the classes with test images (balanced accuracy), in percent.

    Examples:
        >>> macro_accuracy([0, 0, 1], [0, 1, 1], num_classes=3)
        75.0
    """
    return mean_or_none(per_class_accuracy(labels, predicted, num_classes))


def accuracy_by_group(labels: ArrayLike, predicted: ArrayLike, groups: Mapping[str, np.ndarray],
                      num_classes: int) -> dict[str, float | None]:
    """`{all, many, medium, few}` in percent.

    "all" is the accuracy over all test images; a group's value is the mean of its classes' accuracies (the two agree
    on a balanced test set), over the classes that have test images. A group without such a class is None.

    Args:
        labels, predicted: ints (N,) in [0, num_classes).
        groups: name -> class indices or a boolean mask (num_classes,), as `long_tail.shot_groups` makes them.

    Examples:
        >>> groups = {"many": np.array([0]), "few": np.array([1])}
        >>> accuracy_by_group([0, 0, 0, 1], [0, 0, 0, 0], groups, num_classes=2)
        {'all': 75.0, 'many': 100.0, 'medium': None, 'few': 0.0}
    """
    per_class = per_class_accuracy(labels, predicted, num_classes)
    accuracy = {"all": micro_accuracy(labels, predicted)}
    return accuracy | {name: mean_or_none(per_class[group_mask(groups, name, num_classes)]) for name in GROUPS}


def group_mask(groups: Mapping[str, np.ndarray], name: str, num_classes: int) -> np.ndarray:
    """Which classes are in the group, bool (C,); none if `groups` does not have it."""
    mask = np.zeros(num_classes, bool)
    classes = np.asarray(groups.get(name, ()))
    mask[classes if classes.size else slice(0)] = True
    return mask


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """Counts, int64 (C, C): row = true class, column = predicted class.

    Dense: 8 * C^2 bytes. Beyond some thousand classes use `confusion_pairs`.

    Examples:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    labels, predicted = _checked(labels, num_classes), _checked(predicted, num_classes)
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusion_pairs(labels: ArrayLike, predicted: ArrayLike) -> np.ndarray:
    """The non-zero entries of the confusion matrix, int64 (K, 3) as (true, predicted, count), most frequent first."""
    pairs = np.stack([np.asarray(labels, np.int64), np.asarray(predicted, np.int64)], axis=1)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    return np.column_stack([unique, counts])[np.argsort(-counts, kind="stable")]


def mean_or_none(values: ArrayLike) -> float | None:
    """Mean of the entries that are not NaN, None if there is none."""
    found = np.asarray(values, np.float64)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else None


def _checked(classes, num_classes: int) -> np.ndarray:
    classes = np.asarray(classes, np.int64)
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
        raise ValueError(f"classes run from {classes.min()} to {classes.max()}, allowed are 0 to {num_classes - 1}")
    return classes
