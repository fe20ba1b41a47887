"""Balanced Softmax: the training prior goes into the logits (Ren et al., NeurIPS 2020)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.types import ArrayLike, Tensor
from cmo_tf.losses.base import CountedLoss, cross_entropy

# What an empty class counts as: far below one image, so that the softmax all but leaves it out, and finite.
EMPTY_CLASS = 1e-6


@keras.saving.register_keras_serializable(package="cmo_tf")
class BalancedSoftmax(CountedLoss):
    """`CE(z + log n, y)`: the softmax of each class is weighed by its number of training images.

    For the linear head. Evaluation takes the raw logits. A class without images counts as 1e-6 of one.

    Args:
        class_counts: (C,) images of each class in the training set.
        class_weights: (C,) or None.

    Source: "Balanced Meta-Softmax for Long-Tailed Visual Recognition", Eq. 4; CMO code, `BalancedSoftmax`.

    Examples:
        >>> loss = BalancedSoftmax([90, 10])
        >>> [round(float(value), 4) for value in loss.terms([0, 1], [[0.0, 0.0], [0.0, 0.0]])[0]]  # -log 0.9, -log 0.1
        [0.1054, 2.3026]
    """

    prior_free = True

    def __init__(self, class_counts: ArrayLike, class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        self.log_prior = np.log(np.maximum(self.class_counts, EMPTY_CLASS)).astype("float32")

    def values(self, labels: Tensor, logits: Tensor) -> Tensor:
        return cross_entropy(labels, logits + ops.convert_to_tensor(self.log_prior))
