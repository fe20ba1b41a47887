"""Balanced Softmax: the training prior goes into the logits (Ren et al., NeurIPS 2020)."""

import keras
import numpy as np
from keras import ops

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
    """

    prior_free = True

    def __init__(self, class_counts, class_weights=None, name=None):
        super().__init__(class_counts, class_weights, name)
        self.log_prior = np.log(np.maximum(self.class_counts, EMPTY_CLASS)).astype("float32")

    def values(self, labels, logits):
        return cross_entropy(labels, logits + ops.convert_to_tensor(self.log_prior))
