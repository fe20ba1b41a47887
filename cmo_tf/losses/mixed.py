"""The two-term loss of mixed images: hard labels, the loss called once for each (CMO, CVPR 2022, Eq. 5)."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import Tensor
from cmo_tf.losses.base import LongTailLoss, columns_of, sum_of_quotients
from cmo_tf.losses.network_output import calling_model, refuse_probabilities


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
    """A loss for the triples (image, label, pair) of `CMO.pack` in a plain keras.Model.

    `sum(lam*v*w) / sum(w) + sum((1-lam)*v_q*w_q) / sum(w_q)`, a float32 scalar. `pair` = [label_q, lam] float32 (B, 2)
    comes in the place of `sample_weight`: metrics do not look there, and see plain labels. With a third column (B, 3)
    rows have weights besides. Without a pair, as in validation data, the value is that of the wrapped loss; a
    sample_weight (B,) or (B, 1) stays what it is.

    Args:
        loss: a LongTailLoss; its `build`, `class_weights`, `head` and `logit_scale` are forwarded.

    Examples:
        >>> from cmo_tf.losses import CrossEntropy
        >>> loss = Mixed(CrossEntropy())
        >>> round(float(loss([0], [[2.0, 0.0]], [[1, 0.75]])), 4)  # 0.75 * 0.1269 + 0.25 * 2.1269
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
        if sample_weight is None:
            return self.loss(y_true, y_pred)
        sample_weight = ops.convert_to_tensor(sample_weight)
        if columns_of(sample_weight) not in (2, 3):
            return self.loss(y_true, y_pred, sample_weight)
        refuse_probabilities(calling_model())
        _refuse_weighted_metrics(calling_model())
        y_q, lam, *rows = (sample_weight[:, column] for column in range(sample_weight.shape[-1]))
        return sum_of_quotients(mixed_terms(self.loss, y_true, y_q, lam, y_pred, *rows))

    def get_config(self):
        return {"loss": keras.saving.serialize_keras_object(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def _refuse_weighted_metrics(model):
    if getattr(getattr(model, "_compile_metrics", None), "_user_weighted_metrics", None):
        raise UserError("compile(weighted_metrics=...): these would take the pair of CMO.pack for weights of rows; "
                        "name them in metrics=")
