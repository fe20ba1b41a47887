"""Focal loss on the softmax: rows that are classified well count less (Lin et al., ICCV 2017)."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import LongTailLoss, cross_entropy

# Below this the power of a gamma under 1 would have no finite slope.
SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="cmo_tf")
class Focal(LongTailLoss):
    """`factor * (1 - q)^gamma * u` with `u = -w_y log softmax(z)_y` and `q = exp(-u)`, averaged over rows.

    The class weight stands inside q too, so that a weight above 1 makes a row look harder; and it is no normaliser:
    the mean is over rows. At gamma 0 this is the softmax form of the class-balanced loss.

    Args:
        num_classes: C, or None to take it from the first batch of logits.
        gamma: focus, at least 0; 1 in the LDAM, IB and CMO code.
        factor: of the whole loss, positive. 1 in LDAM-DRW, where this form is from; the copies in the IB and CMO code
            have 10 (CMO's is never called), which no published number of CMO rests on.
        class_weights: (C,) or None.

    Source: LDAM-DRW code, `FocalLoss`. `FocalSigmoid` is the form of the focal loss paper.

    Examples:
        >>> round(float(Focal(gamma=2.0)([0], [[0.0, 0.0]])), 4)  # 0.5^2 * 0.6931
        0.1733
    """

    flags = {"gamma": "focal_gamma", "factor": "focal_factor"}

    def __init__(self, num_classes: int | None = None, gamma: float = 1.0, factor: float = 1.0,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not gamma >= 0 or not factor > 0:
            raise UserError(f"{self.name}: gamma {gamma} must be at least 0 and factor {factor} positive")
        self.gamma, self.factor = float(gamma), float(factor)

    def terms(self, y_int, logits, statistics=None):
        labels, logits = self.prepare(y_int, logits)
        losses = ops.take(self.class_weights, labels) * cross_entropy(labels, logits)
        missing = ops.maximum(-ops.expm1(-losses), SMALLEST)
        return self.factor * missing**self.gamma * losses, ops.ones_like(losses)

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma, "factor": self.factor}
