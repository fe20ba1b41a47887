"""Does a confidence of 80 % mean 80 % right? ECE, MCE, over-confidence, reliability bins (numpy only).

Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), Eq. 2, 3 and 5; bins as in the code of
Zhong et al., "Improving Calibration for Long-Tailed Recognition" (MiSLAS, CVPR 2021), which the CMO paper refers to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.types import ArrayLike
from cmo_tf.evaluation.metrics import Predictions, group_mask
from cmo_tf.long_tail import GROUPS

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Confidences sorted into `NUM_BINS` equal bins, closed on the right: bin b holds b/15 < confidence <= (b+1)/15.

    Attributes:
        count: int64 (15,), images in each bin.
        accuracy, confidence: float64 (15,), share of right answers and mean confidence in [0, 1]; 0 in an empty bin.
    """

    count: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    @property
    def ece(self) -> float | None:
        """Expected calibration error in [0, 1]: the count-weighted mean of |accuracy - confidence|."""
        total = self.count.sum()
        return float(np.sum(self.count * np.abs(self.accuracy - self.confidence)) / total) if total else None

    @property
    def mce(self) -> float | None:
        """Maximum calibration error in [0, 1]: the largest |accuracy - confidence| of a bin."""
        return float(np.abs(self.accuracy - self.confidence).max()) if self.count.any() else None


def reliability(labels: ArrayLike, predicted: ArrayLike, confidence: ArrayLike) -> Reliability:
    """Sorts (N,) predictions into the bins; a confidence of exactly 0, above 1 or NaN is in none, as in MiSLAS.

    Examples:
        >>> bins = reliability([0, 1, 2, 3], [0, 1, 0, 0], [0.9, 0.9, 0.9, 0.9])  # sure of 0.9, right in half
        >>> round(bins.ece, 3)
        0.4
    """
    confidence = np.asarray(confidence)
    right = np.asarray(labels) == np.asarray(predicted)
    place = np.digitize(confidence, np.linspace(0.0, 1.0, NUM_BINS + 1), right=True)
    inside = (place >= 1) & (place <= NUM_BINS)
    place, right, confidence = place[inside] - 1, right[inside], confidence[inside].astype(np.float64)
    count = np.bincount(place, minlength=NUM_BINS)
    sums = (np.bincount(place, weights=values, minlength=NUM_BINS) for values in (right, confidence))
    return Reliability(count, *(np.divide(s, count, out=np.zeros(NUM_BINS), where=count > 0) for s in sums))


def overconfidence(labels: ArrayLike, predicted: ArrayLike, confidence: ArrayLike) -> float | None:
    """Mean confidence minus accuracy, in [-1, 1]; positive is over-confident, None for no images or a NaN."""
    if not np.size(labels):
        return None
    value = float(np.mean(np.asarray(confidence, np.float64)) - np.mean(np.asarray(labels) == np.asarray(predicted)))
    return value if np.isfinite(value) else None


def overconfidence_by_group(predictions: Predictions, groups: Mapping[str, np.ndarray], num_classes: int) -> dict:
    """`{all, many, medium, few}` of `overconfidence` over the images whose TRUE class is in the group."""
    result = {"all": overconfidence(predictions.labels, predictions.predicted, predictions.confidence)}
    for name in GROUPS:
        rows = group_mask(groups, name, num_classes)[predictions.labels]
        result[name] = overconfidence(*(x[rows] for x in vars(predictions).values()))
    return result


def summary(predictions: Predictions, groups: Mapping[str, np.ndarray], num_classes: int) -> dict:
    """`{ece, mce, group_ece, overconfidence, reliability}` of predictions, as results.json holds them.

    ECE and MCE are over all images; `group_ece` is `{all, many, medium, few}`, each with bins over the images whose
    TRUE class is in the group (None without any).
    """
    bins = {"all": reliability(**vars(predictions))}
    for name in GROUPS:
        rows = group_mask(groups, name, num_classes)[predictions.labels]
        bins[name] = reliability(*(x[rows] for x in vars(predictions).values()))
    return {"ece": bins["all"].ece, "mce": bins["all"].mce,
            "group_ece": {name: found.ece for name, found in bins.items()},
            "overconfidence": overconfidence_by_group(predictions, groups, num_classes),
            "reliability": vars(bins["all"])}


def softmax_confidence(logits: ArrayLike, scale: float = 1.0) -> np.ndarray:
    """Largest softmax probability of each row, float32 (N,), computed in float64.

    Args:
        logits: (N, C) of any float type.
        scale: factor on the logits before the softmax. LDAM trains on cosines times 30: without it they would all
            look unsure.

    Examples:
        >>> softmax_confidence([[0.0, 0.0], [0.0, 9.0]]).round(3).tolist()
        [0.5, 1.0]
    """
    logits = np.asarray(logits, np.float64) * scale
    # With the maximum subtracted, the numerator of the largest class is exp(0) = 1.
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (1.0 / np.exp(shifted).sum(axis=1)).astype(np.float32)


def predictions_from_logits(labels: ArrayLike, logits: ArrayLike, scale: float = 1.0) -> Predictions:
    """`Predictions` of (N,) labels and (N, C) logits; among equal logits the first class wins."""
    return Predictions(np.asarray(labels), np.argmax(logits, axis=1), softmax_confidence(logits, scale))
