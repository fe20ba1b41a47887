"""The two-term loss of mixed images: hard labels, the loss called once for each (CMO, CVPR 2022, Eq. 5)."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import Tensor
from cmo_tf.losses.base import LongTailLoss, sum_of_quotients


def mixed_terms(loss: LongTailLoss, y: Tensor, y_q: Tensor, lam: Tensor, logits: Tensor,
                sample_weight: Tensor | None = None, statistics: tuple = (None, None)) -> tuple:
    """((numerator, denominator), (numerator_q, denominator_q)) of `lam * L(y) + (1 - lam) * L(y_q)`, and behind them
    the pair of the loss's term without labels, if it has one: it counts once (RIDE's diversity).

    The loss is the sum of the quotients. lam multiplies numerators only: each term keeps its own normaliser, so
    that they weigh lam : 1 - lam whatever the class weights. On several replicas, sum each denominator over them
    before dividing.

    Args:
        loss: a LongTailLoss.
        y, y_q: background and foreground labels (B,).
        lam: share of the background, (B,) or a scalar.
        logits: (B, C), or a dict of outputs with "logits".
        sample_weight: (B,) or None; multiplies numerators and denominators of both terms.
        statistics: the summed `loss.statistics` for y and for y_q.

    Examples:
        >>> from cmo_tf.losses import CrossEntropy
        >>> terms = mixed_terms(CrossEntropy(), [0], [1], 0.75, [[0.0, 0.0]])
        >>> [(round(float(numerator), 4), float(denominator)) for numerator, denominator in terms]
        [(0.5199, 1.0), (0.1733, 1.0)]
    """
    lam = ops.cast(ops.convert_to_tensor(lam), "float32")
    first = loss.sums(y, logits, sample_weight, share=lam, statistics=statistics[0])
    second = loss.sums(y_q, logits, sample_weight, share=1.0 - lam, statistics=statistics[1])
    return first, second, *loss.extra_sums(logits, sample_weight)


@keras.saving.register_keras_serializable(package="cmo_tf")
class Mixed(keras.losses.Loss):
    """A loss for the targets of `CMO.pack`, y = [label, label_q, lam] float32 (B, 3), in a plain keras.Model.

    `sum(lam*v*w) / sum(w) + sum((1-lam)*v_q*w_q) / sum(w_q)`, a float32 scalar. Plain labels (B,) or (B, 1), as
    validation data has them, give the wrapped loss itself.

    Args:
        loss: a LongTailLoss; its `build`, `class_weights`, `head` and `logit_scale` are forwarded.

    Examples:
        >>> from cmo_tf.losses import CrossEntropy
        >>> loss = Mixed(CrossEntropy())
        >>> round(float(loss([[0, 1, 0.75]], [[2.0, 0.0]])), 4)  # 0.75 * 0.1269 + 0.25 * 2.1269
        0.6269
    """

    def __init__(self, loss: LongTailLoss, name: str | None = None):
        if not isinstance(loss, LongTailLoss):
            raise UserError(f"Mixed: {loss!r} is no loss of cmo_tf.losses; give it an object such as CrossEntropy()")
        super().__init__(name=name, dtype="float32")
        self.loss = loss

    @property
    def head(self) -> str:
        return self.loss.head

    @property
    def logit_scale(self) -> float:
        return self.loss.logit_scale

    @property
    def class_weights(self) -> keras.Variable | None:
        return self.loss.class_weights

    def build(self, num_classes: int) -> None:
        self.loss.build(num_classes)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        y_true = ops.convert_to_tensor(y_true)
        if len(y_true.shape) < 2 or y_true.shape[-1] == 1:
            return self.loss(y_true, y_pred, sample_weight)
        if len(y_true.shape) != 2 or y_true.shape[-1] != 3:
            raise UserError(f"{self.name}: y is [label, label_q, lam] of shape (B, 3), got {tuple(y_true.shape)}")
        y_true = ops.cast(y_true, "float32")
        terms = mixed_terms(self.loss, y_true[:, 0], y_true[:, 1], y_true[:, 2], y_pred, sample_weight)
        return sum_of_quotients(terms)

    def get_config(self):
        return {"loss": keras.saving.serialize_keras_object(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
