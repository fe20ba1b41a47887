"""Label-aware smoothing: labels of large classes are smoothed more (MiSLAS)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import CountedLoss, cross_entropy

SHAPES = {
    "concave": lambda t, power: np.sin(t * np.pi / 2.0),
    "linear": lambda t, power: t,
    "convex": lambda t, power: 1.0 + np.sin((3.0 + t) * np.pi / 2.0),
    "exp": lambda t, power: t**power,
}


def smoothing(class_counts, smooth_head, smooth_tail, shape="concave", power=None) -> np.ndarray:
    """Label smoothing of each class, float64 (C,): `smooth_head` for the largest, `smooth_tail` for the smallest.

    `tail + (head - tail) * f((n_k - n_min) / (n_max - n_min))` with f by `shape`: concave sin(pi t / 2), linear t,
    convex 1 + sin(pi (3 + t) / 2), exp t^power. Where all classes are equally large, each has `smooth_head`.
    """
    counts = np.asarray(class_counts, np.float64)
    spread = counts.max() - counts.min()
    share = (counts - counts.min()) / spread if spread else np.ones_like(counts)
    return smooth_tail + (smooth_head - smooth_tail) * SHAPES[shape](share, power)


@keras.saving.register_keras_serializable(package="cmo_tf")
class LabelAwareSmoothing(CountedLoss):
    """`(1 - e_y) * -log p_y + e_y * mean_k(-log p_k)`, e_y the `smoothing` of the label's class; mean over the batch.

    The smoothed share goes to all C classes, the label's own included, as in the official code; the paper's Eq. 5
    spreads it over the other C - 1.

    Args:
        class_counts: (C,) training images a class.
        smooth_head, smooth_tail: smoothing of the largest and of the smallest class, in [0, 1].
        shape: "concave" (as published), "linear", "convex" or "exp".
        power: exponent of "exp", > 0.

    Source: "Improving Calibration for Long-Tailed Recognition" (Zhong et al., CVPR 2021), Eq. 5 to 9, and its code.

    Examples:
        >>> loss = LabelAwareSmoothing([90, 10], smooth_head=0.4, smooth_tail=0.0)
        >>> [round(float(v), 4) for v in loss.terms([0, 1], [[1.0, 0.0], [0.0, 1.0]])[0]]
        [0.5133, 0.3133]
    """

    flags = {"smooth_head": "las_smooth_head", "smooth_tail": "las_smooth_tail"}

    def __init__(self, class_counts: ArrayLike, smooth_head: float = 0.4, smooth_tail: float = 0.1,
                 shape: str = "concave", power: float | None = None, class_weights: ArrayLike | None = None,
                 name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        for option, value in (("smooth_head", smooth_head), ("smooth_tail", smooth_tail)):
            if not 0 <= value <= 1:
                raise UserError(f"{self.name}: {option} {value} is not in [0, 1]")
        if shape not in SHAPES:
            raise UserError(f"{self.name}: shape {shape!r}; there are {', '.join(SHAPES)}")
        if shape == "exp" and not (power or 0) > 0:
            raise UserError(f"{self.name}: shape 'exp' needs a power above 0")
        self.smooth_head, self.smooth_tail = float(smooth_head), float(smooth_tail)
        self.shape, self.power = shape, power
        self.smoothing = smoothing(self.class_counts, self.smooth_head, self.smooth_tail, shape, power)

    def values(self, labels, logits):
        smoothed = ops.take(ops.convert_to_tensor(self.smoothing, dtype="float32"), labels)
        everywhere = -ops.mean(ops.log_softmax(logits), axis=-1)
        return (1.0 - smoothed) * cross_entropy(labels, logits) + smoothed * everywhere

    def get_config(self):
        return {**super().get_config(), "smooth_head": self.smooth_head, "smooth_tail": self.smooth_tail,
                "shape": self.shape, "power": self.power}
