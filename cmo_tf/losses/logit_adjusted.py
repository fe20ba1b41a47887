"""Logit adjustment inside the loss (Menon et al., ICLR 2021)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import CountedLoss, cross_entropy


@keras.saving.register_keras_serializable(package="cmo_tf")
class LogitAdjusted(CountedLoss):
    """`CE(z + tau * log pi, y)` with the training prior pi; at tau 1 the same as Balanced Softmax, at 0 as CE.

    For the linear head. Evaluation takes the raw logits. A class without images counts as pi^tau = 1e-12.

    Args:
        class_counts: (C,) images of each class in the training set.
        tau: at least 0.
        class_weights: (C,) or None.

    Source: logit adjustment paper, Eq. 10; official code, `build_loss_fn`. Adjustment after training, Eq. 9, is
    `--test_prior=uniform`.

    Examples:
        >>> loss = LogitAdjusted([90, 10], tau=1.0)
        >>> round(float(loss([1], [[0.0, 0.0]])), 4)  # -log 0.1
        2.3026
    """

    flags = {"tau": "la_tau"}
    prior_free = True

    def __init__(self, class_counts: ArrayLike, tau: float = 1.0, class_weights: ArrayLike | None = None,
                 name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        if not tau >= 0:
            raise UserError(f"{self.name}: tau {tau} must be at least 0")
        self.tau = float(tau)
        prior = self.class_counts / self.class_counts.sum()
        self.adjustment = np.log(prior**self.tau + 1e-12).astype("float32")

    def values(self, labels, logits):
        return cross_entropy(labels, logits + ops.convert_to_tensor(self.adjustment))

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}
