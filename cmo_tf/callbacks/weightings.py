"""What `--reweight` may be: class weights as pure functions of the class counts (numpy only)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cmo_tf.core.class_counts import effective_number_weights, inverse_frequency_weights
from cmo_tf.core.types import ArrayLike


class Weighting(NamedTuple):
    """weights: (class_counts, beta) -> (C,), summing to C; start: first epoch with them unless a run says otherwise,
    below 1 a fraction of it; summary: one line for tables."""

    weights: Callable[[ArrayLike, float], np.ndarray]
    start: float
    summary: str


def _inverse(class_counts, beta):
    return inverse_frequency_weights(class_counts)


def _square_root(class_counts, beta):
    return inverse_frequency_weights(class_counts, power=0.5)


NONE = Weighting(lambda class_counts, beta: np.ones(np.size(class_counts)), 0.0, "all classes alike")
DRW = Weighting(effective_number_weights, 0.8, "effective number, deferred to the last fifth")
CB = Weighting(effective_number_weights, 0.0, "effective number (class-balanced loss)")
INVERSE = Weighting(_inverse, 0.0, "1 / n")
SQRT = Weighting(_square_root, 0.0, "1 / sqrt(n)")
