"""LADE: logits that are freed from the training prior (Hong et al., CVPR 2021)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import CountedLoss, cross_entropy

EPSILON = 1e-9


@keras.saving.register_keras_serializable(package="cmo_tf")
class LADE(CountedLoss):
    """`CE(z + log pi, y) + alpha * sum_c pi_c R_c`: Balanced Softmax and a regulariser over the whole batch.

    `R_c = S_c + rho * S_c^2 - mean of z_c over the rows of class c`, where S_c is the logarithm of the batch mean of
    `exp(z_c) * (1/C) / pi_c`: z_c becomes a log-likelihood ratio against balanced classes. A class that is not in the
    batch has mean 0 there. For the linear head; evaluation takes the raw logits.

    The regulariser couples the rows: `statistics` has what replicas must bring together. Class and sample weights act
    on the cross-entropy alone. In a mixed batch there is a regulariser for each label set.

    Args:
        class_counts: (C,) images of each class in the training set.
        alpha: of the regulariser, at least 0; 0.1 for CIFAR-100-LT, 0.05 for ImageNet-LT and iNaturalist.
        rho: of the square, at least 0; 0.01 for CIFAR-100-LT at ratio 100, 0.5 for the large sets.
        class_weights: (C,) or None.

    Source: LADE paper; official code, `PriorCELoss` and `LADELoss`, which weighs column c of every row by
    the prior of class c.

    Examples:
        >>> loss = LADE([90, 10], alpha=0.0)  # Balanced Softmax
        >>> round(float(loss([1], [[0.0, 0.0]])), 4)
        2.3026
    """

    flags = {"alpha": "lade_alpha", "rho": "lade_rho"}
    reductions = {"log_sum": "logsumexp"}
    prior_free = True
    couples_rows = True

    def __init__(self, class_counts: ArrayLike, alpha: float = 0.1, rho: float = 0.01,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        if not alpha >= 0 or not rho >= 0:
            raise UserError(f"{self.name}: alpha {alpha} and rho {rho} must be at least 0")
        self.alpha, self.rho = float(alpha), float(rho)
        prior = self.class_counts / self.class_counts.sum()
        self.prior = prior.astype("float32")
        self.log_prior = np.log(prior + EPSILON).astype("float32")

    def values(self, labels, logits):
        return cross_entropy(labels, logits + ops.convert_to_tensor(self.log_prior))

    def statistics(self, y_int, logits):
        """Of the batch: `rows` (), `images` (C,) and `own_logits` (C,), the number of rows of each class and the sum of
        that class's logit over them, which replicas add up, and `log_sum` (C,), log sum_i exp(z_ic) / (C pi_c)."""
        labels, logits = self.prepare(y_int, logits)
        own = ops.one_hot(labels, self.num_classes, dtype="float32")
        log_ratio = np.float32(np.log(1.0 / self.num_classes + EPSILON)) - self.log_prior
        return {
            "rows": ops.sum(own),
            "images": ops.sum(own, axis=0),
            "own_logits": ops.sum(own * logits, axis=0),
            "log_sum": ops.logsumexp(logits + ops.convert_to_tensor(log_ratio), axis=0),
        }

    def terms(self, y_int, logits, statistics=None):
        values, weights = super().terms(y_int, logits)
        return values + self.alpha * self.regulariser(statistics or self.statistics(y_int, logits)), weights

    def regulariser(self, statistics):
        """sum_c pi_c R_c, a scalar, from the statistics of the whole batch."""
        own_mean = statistics["own_logits"] / (statistics["images"] + 1e-8)
        log_mean = statistics["log_sum"] - ops.log(statistics["rows"])
        prior = ops.convert_to_tensor(self.prior)  # PyTorch's tensors take no numpy array as the other factor
        return ops.sum(prior * (log_mean + self.rho * ops.square(log_mean) - own_mean))

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "rho": self.rho}
