"""Cross-entropy, plain, with class weights, or with smoothed labels."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike, Tensor
from cmo_tf.losses.base import LongTailLoss, cross_entropy


@keras.saving.register_keras_serializable(package="cmo_tf")
class CrossEntropy(LongTailLoss):
    """`-log softmax(z)_y`, averaged with the weights of the labels' classes: PyTorch's `cross_entropy(weight=w)`.

    Args:
        class_weights: (C,) finite and not negative, or None for ones.
        num_classes: C, or None to take it from the first batch of logits.
        label_smoothing: in [0, 1); the label keeps 1 - label_smoothing, and all C classes, it included, share the rest,
            each counted with its own class weight. As in PyTorch, but that a row whose class has weight 0 counts for
            nothing at all.

    With effective-number weights this is the class-balanced loss (Cui et al., CVPR 2019) as the LDAM and CMO code
    normalises it, by the sum of weights; with `callbacks.DRW`, CE-DRW.

    Examples:
        >>> loss = CrossEntropy(class_weights=[1.0, 3.0])
        >>> round(float(loss([0, 1], [[0.0, 0.0], [2.0, 0.0]])), 4)  # (1 * 0.6931 + 3 * 2.1269) / (1 + 3)
        1.7685
    """

    flags = {"label_smoothing": "label_smoothing"}

    def __init__(self, class_weights: ArrayLike | None = None, num_classes: int | None = None,
                 label_smoothing: float = 0.0, name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"{self.name}: label_smoothing {label_smoothing} is not in [0, 1)")
        self.label_smoothing = float(label_smoothing)

    def values(self, labels: Tensor, logits: Tensor) -> Tensor:
        losses = cross_entropy(labels, logits)
        if not self.label_smoothing:
            return losses
        everywhere = -ops.mean(self.class_weights * ops.log_softmax(logits), axis=-1)
        # The caller multiplies by the weight of the label's class, which is not for this term.
        everywhere = ops.divide_no_nan(everywhere, ops.take(self.class_weights, labels))
        return (1.0 - self.label_smoothing) * losses + self.label_smoothing * everywhere

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
