"""Influence-balanced loss: rows that pull hard at the decision boundary count less (Park et al., ICCV 2021)."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import LongTailLoss, constant_variable, cross_entropy, row_vector


@keras.saving.register_keras_serializable(package="cmo_tf")
class InfluenceBalanced(LongTailLoss):
    """`w_y * CE(z, y) * alpha / (||softmax(z) - onehot(y)||_1 * ||h||_1 + epsilon)`, averaged over rows.

    h (B, D) are the features that the head takes: the network returns a dict with `logits` and `features`
    (`models.create(..., features=True)`). Gradients also flow through the denominator, as in the official code; the
    paper reads as if it were a constant. Meant as a second phase: while `active` is 0 this is plain cross-entropy
    without class weights, and `callbacks.LossPhase` sets it. Evaluation takes the logits.

    Args:
        num_classes: C, or None to take it from the first batch of logits.
        alpha: positive. With 1000 the loss is large: the published run lowers the learning rate by 100 as it starts.
        epsilon: positive, keeps the quotient finite.
        class_weights: (C,) or None; the published runs have 1/n, rescaled to sum to C (`--reweight=inverse`).

    Attributes:
        active: non-trainable float32 variable (), 1 at first; assign 0 for cross-entropy, also after tracing. None as
            long as the number of classes is unknown.

    Source: IB loss paper; official code, `IBLoss`.

    Examples:
        >>> outputs = {"logits": [[0.0, 0.0]], "features": [[1.0, 2.0]]}
        >>> loss = InfluenceBalanced(alpha=3.0)
        >>> round(float(loss([0], outputs)), 4)  # 0.6931 * 3 / (1 * 3 + 0.001)
        0.6929
    """

    flags = {"alpha": "ib_alpha", "epsilon": "ib_epsilon"}
    phase_flag = "ib_start"
    needs_features = True

    def __init__(self, num_classes: int | None = None, alpha: float = 1000.0, epsilon: float = 1e-3,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not alpha > 0 or not epsilon > 0:
            raise UserError(f"{self.name}: alpha {alpha} and epsilon {epsilon} must be positive")
        self.alpha, self.epsilon = float(alpha), float(epsilon)
        self._active = None

    @property
    def active(self):
        if self._active is None and self.num_classes is not None:
            self.build(self.num_classes)
        return self._active

    def build(self, num_classes):
        super().build(num_classes)
        if self._active is None:
            self._active = constant_variable(1.0, (), "active")

    def terms(self, y_int, logits, statistics=None):
        if not isinstance(logits, dict) or "features" not in logits:
            raise UserError(f"{self.name}: the network must return a dict with logits and features; "
                            "make it by models.create(..., features=True)")
        features = ops.cast(logits["features"], "float32")
        labels, logits = self.prepare(y_int, logits)
        plain = cross_entropy(labels, logits)
        wrong = ops.abs(ops.softmax(logits) - ops.one_hot(labels, self.num_classes, dtype="float32"))
        influence = ops.sum(wrong, axis=-1) * ops.sum(ops.abs(features), axis=-1)
        balanced = ops.take(self.class_weights, labels) * plain * self.alpha / (influence + self.epsilon)
        return ops.where(row_vector(self.active) > 0, balanced, plain), ops.ones_like(plain)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "epsilon": self.epsilon}
