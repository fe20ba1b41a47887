"""Q, the minority-weighted distribution that CMO draws its foregrounds from (paper Eq. 2 and 3).

numpy only: which class with what probability, the tables from which a stateless draw picks an image, and the kinds of
stateless draws.
"""

import enum
from typing import NamedTuple

import numpy as np

from cmo_tf.core.class_counts import check_counts, effective_number
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike

KINDS = ("inverse", "effective")
LEVELS = ("image", "class")


class Draw(enum.IntEnum):
    """What a stateless draw is for. Values are part of every run's identity: append, never renumber."""

    ORDER = 0
    PLAN = 1
    FOREGROUND = 2
    AUGMENT = 3
    AUGMENT_FOREGROUND = 4
    CANVAS = 5
    PARTNER = 6
    AUGMENT_VIEW = 7


def class_distribution(counts: ArrayLike, power: float = 1.0, kind: str = "inverse", level: str = "image",
                       beta: float | None = None) -> np.ndarray:
    """Class marginal of Q, float64 (C,), summing to 1. Classes without images get 0.

    Args:
        counts: (C,) training images a class.
        power: r; 0 gives P itself at image level.
        kind: "inverse", weight `1 / n^r`; "effective", weight `1 / E(n)^r` with the effective number E.
        level: "image", every IMAGE carries the weight, as in the official code: the marginal is `n^(1-r)`, uniform
            over classes at r = 1. "class", Eq. 2 read literally: the class itself carries it, marginal `n^-r`.
        beta: of the effective number, by default (N - 1) / N with N images in all, as the paper has it.

    Source: CMO Eq. 2 and 3, section 3.2, supplement Table 10.

    Examples:
        >>> class_distribution([90, 9, 1]).round(3).tolist()
        [0.333, 0.333, 0.333]
        >>> class_distribution([90, 9, 1], power=0.5).round(3).tolist()
        [0.703, 0.222, 0.074]
    """
    counts = check_counts(counts)
    if kind not in KINDS:
        raise UserError(f"--q_kind={kind}: there are {', '.join(KINDS)}")
    if level not in LEVELS:
        raise UserError(f"--q_level={level}: there are {', '.join(LEVELS)}")
    if not np.isfinite(power):
        raise UserError(f"--q_power={power} is not a finite number")
    total = counts.sum()
    size = counts if kind == "inverse" else effective_number(counts, (total - 1) / total if beta is None else beta)
    held = counts > 0
    # In logarithms: n^-r overflows for large powers of large counts.
    log_weight = -power * np.log(np.where(held, size, 1.0))
    if level == "image":
        log_weight += np.log(np.where(held, counts, 1.0))
    weight = np.where(held, np.exp(log_weight - log_weight[held].max()), 0.0)
    return weight / weight.sum()


class ClassTable(NamedTuple):
    """What a draw from Q needs: O(log C) a draw, O(N + C) memory.

    order: int64 (N,), image indices sorted by class; start: int64 (C,), where each class begins in `order`;
    size: int64 (C,); cumulative: float64 (C,), cumulative class marginal, its last held class at 1.
    """

    order: np.ndarray
    start: np.ndarray
    size: np.ndarray
    cumulative: np.ndarray


def class_table(labels: ArrayLike, distribution: ArrayLike) -> ClassTable:
    """Tables for drawing a class from `distribution` (C,) and then one of its images uniformly.

    Raises:
        UserError: a class with positive probability has no image.
    """
    labels, distribution = np.asarray(labels, dtype=np.int64), np.asarray(distribution, dtype=np.float64)
    size = np.bincount(labels, minlength=len(distribution))
    missing = np.flatnonzero((size == 0) & (distribution > 0))
    if missing.size:
        raise UserError(f"class {missing[0]} has no image but is to be drawn with "
                        f"probability {distribution[missing[0]]:.3g}")
    cumulative = np.cumsum(distribution)
    cumulative /= cumulative[-1]
    # From the last class that can be drawn on exactly 1, or rounding could let a draw of 0.99.. fall behind it.
    cumulative[np.flatnonzero(distribution)[-1]:] = 1.0
    start = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)
    return ClassTable(np.argsort(labels, kind="stable").astype(np.int64), start, size.astype(np.int64), cumulative)
