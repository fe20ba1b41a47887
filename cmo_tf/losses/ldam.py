"""LDAM: margins that grow as classes get rarer (Cao et al., NeurIPS 2019)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.class_counts import check_counts
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike, Tensor
from cmo_tf.losses.base import CountedLoss, cross_entropy


def ldam_margins(class_counts: ArrayLike, max_margin: float = 0.5) -> np.ndarray:
    """Margins `m_k = max_margin * (n_k / n_min)^(-1/4)`, float64 (C,); Eq. 13 scaled so that the rarest has max_margin.

    A class without images has max_margin, as the rarest class that has some.

    Examples:
        >>> ldam_margins([1600, 100]).tolist()
        [0.25, 0.5]
    """
    counts = check_counts(class_counts)
    rarest = counts[counts > 0].min()
    return max_margin * (np.maximum(counts, rarest) / rarest) ** -0.25


@keras.saving.register_keras_serializable(package="cmo_tf")
class LDAM(CountedLoss):
    """`CE(s * (c - m_y * onehot(y)), y)` on cosines c (B, C): the label's own cosine is short of its class margin.

    For the normed head; the margin is in units of cosine, before the scale. Evaluation takes plain cosines (no
    margin), times `logit_scale` for confidences.

    Args:
        class_counts: (C,) images of each class in the training set.
        max_margin: margin of the rarest class.
        scale: s, positive.
        class_weights: (C,) or None; `callbacks.DRW` sets them for LDAM-DRW.

    Source: LDAM paper, Eq. 10-13; official code of LDAM-DRW and CMO, `LDAMLoss`.

    Examples:
        >>> loss = LDAM([1600, 100], scale=10.0)
        >>> cosines = [[0.5, -0.5], [0.0, 0.2]]
        >>> [round(float(value), 4) for value in loss.terms([0, 1], cosines)[0]]
        [0.0006, 3.0486]
    """

    head = "normed"
    flags = {"max_margin": "ldam_margin", "scale": "ldam_scale"}

    def __init__(self, class_counts: ArrayLike, max_margin: float = 0.5, scale: float = 30.0,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        if not max_margin >= 0 or not scale > 0:
            raise UserError(f"{self.name}: max_margin {max_margin} must be at least 0 and scale {scale} positive")
        self.max_margin = float(max_margin)
        self.scale = float(scale)
        self.margins = ldam_margins(self.class_counts, self.max_margin).astype("float32")

    @property
    def logit_scale(self) -> float:
        return self.scale

    def values(self, labels: Tensor, logits: Tensor) -> Tensor:
        margins = ops.expand_dims(ops.take(ops.convert_to_tensor(self.margins), labels), -1)
        shifted = logits - margins * ops.one_hot(labels, self.num_classes, dtype="float32")
        return cross_entropy(labels, self.scale * shifted)

    def get_config(self):
        return {**super().get_config(), "max_margin": self.max_margin, "scale": self.scale}
