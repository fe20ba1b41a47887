"""What RIDE's router learns from: would the next expert help? (Wang et al., ICLR 2021, section 3.3)"""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import LongTailLoss, cross_entropy


@keras.saving.register_keras_serializable(package="cmo_tf")
class ExpertAssignment(LongTailLoss):
    """Binary cross-entropy of the router's answers, averaged over the K - 1 boundaries between experts.

    The network returns a dict of `experts` (B, K, C), `help` (B, K-1) and `logits`, as `models.router.with_router`
    makes it. The answer at boundary i should be yes where the mean of the first i experts is wrong about the label and
    that of more of them is right; such rows weigh `pos_weight`. Outputs without `help` give cross-entropy, the official
    code's validation loss.

    Args:
        num_classes: C, or None to take it from the first batch of logits.
        pos_weight: positive; 100 in the published runs.
        class_weights: (C,) or None.

    Source: official code, `ea_resnet_cifar.ResNet_s.forward`.

    Examples:
        >>> outputs = {"experts": [[[0.0, 9.0], [9.0, 0.0]]], "help": [[0.0]], "logits": [[4.5, 4.5]]}
        >>> round(float(ExpertAssignment(pos_weight=1.0)([0], outputs)), 4)
        0.6931
    """

    flags = {"pos_weight": "router_pos_weight"}
    method = "ride"

    def __init__(self, num_classes: int | None = None, pos_weight: float = 100.0,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not pos_weight > 0:
            raise UserError(f"{self.name}: pos_weight {pos_weight} must be positive")
        self.pos_weight = float(pos_weight)

    def terms(self, y_int, logits, statistics=None):
        outputs = logits
        labels, logits = self.prepare(y_int, logits)
        weights = ops.take(self.class_weights, labels)
        if not isinstance(outputs, dict) or "help" not in outputs:
            return cross_entropy(labels, logits), weights
        answers, helped = ops.cast(outputs["help"], "float32"), help_wanted(labels, outputs["experts"])
        values = helped * self.pos_weight * ops.softplus(-answers) + (1.0 - helped) * ops.softplus(answers)
        return ops.mean(values, axis=1), weights

    def get_config(self):
        return {**super().get_config(), "pos_weight": self.pos_weight}


def help_wanted(labels, experts):
    """What the router should have said, float32 (B, K-1) of 0 and 1, from labels (B,) and logits (B, K, C)."""
    so_far = ops.cumsum(ops.cast(experts, "float32"), axis=1)
    right = ops.cast(ops.argmax(so_far, axis=-1), "int32") == ops.expand_dims(ops.cast(labels, "int32"), -1)
    right = ops.cast(right, "float32")
    later = ops.flip(ops.cumsum(ops.flip(right[:, 1:], 1), axis=1), 1)
    return (1.0 - right[:, :-1]) * ops.cast(later > 0, "float32")
