"""Focal loss on sigmoids, one binary question a class (Lin et al., ICCV 2017; Cui et al., CVPR 2019)."""

import math

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import LongTailLoss


@keras.saving.register_keras_serializable(package="cmo_tf")
class FocalSigmoid(LongTailLoss):
    """`w_y * sum_c (1 - p_c)^gamma * -log p_c`, where p_c is sigmoid(z_c) for the label's class, else 1 - sigmoid(z_c).

    Averaged over rows, each of which has one positive. The weight of the label's class multiplies all C terms of a row
    and is no normaliser. At gamma 0 this is the sigmoid form of the class-balanced loss. Evaluation takes the logits'
    argmax; confidences come from a softmax as everywhere.

    Args:
        num_classes: C, or None to take it from the first batch of logits.
        gamma: focus, at least 0; 0.5, 1 and 2 in the class-balanced paper.
        class_weights: (C,) or None; effective-number weights make it the class-balanced focal loss.

    Source: class-balanced loss paper, section 4.3; its code, `focal_loss`. The code starts the last bias at
    `head_bias`, which the program does too, and has no weight decay on it, which the program has.

    Examples:
        >>> round(float(FocalSigmoid(gamma=2.0)([0], [[0.0, 0.0]])), 4)  # 2 * 0.5^2 * 0.6931
        0.3466
    """

    flags = {"gamma": "focal_gamma"}

    def __init__(self, num_classes: int | None = None, gamma: float = 1.0, class_weights: ArrayLike | None = None,
                 name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not gamma >= 0:
            raise UserError(f"{self.name}: gamma {gamma} must be at least 0")
        self.gamma = float(gamma)

    @staticmethod
    def head_bias(num_classes):
        """-log(C - 1): every class starts at probability 1 / C, so that the negatives do not swamp the first steps."""
        return -math.log(max(num_classes - 1, 1))

    def terms(self, y_int, logits, statistics=None):
        labels, logits = self.prepare(y_int, logits)
        # The logit of being right: z for the label's class, -z for the others.
        right = ops.where(ops.one_hot(labels, self.num_classes, dtype="bool"), logits, -logits)
        losses = ops.sum(ops.exp(-self.gamma * ops.softplus(right)) * ops.softplus(-right), axis=-1)
        return ops.take(self.class_weights, labels) * losses, ops.ones_like(losses)

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
