"""RIDE: each expert its own LDAM, and a reward for experts that disagree (Wang et al., ICLR 2021)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import CountedLoss, constant_variable, cross_entropy
from cmo_tf.losses.ldam import ldam_margins


@keras.saving.register_keras_serializable(package="cmo_tf")
class RIDE(CountedLoss):
    """`CE(z_i - s * m_y * onehot(y), y) + diversity * Tm^2 * KL(softmax(z / T) || softmax(z_i / T))`, over experts i.

    The network returns a dict of `experts` (B, K, C), logits that carry the scale already, and `logits` (B, C), their
    mean z, as `models.create_experts` makes it. The first part has the labels: margins m of LDAM, class weights, a
    weighted mean over rows. The second has none: a plain mean, no gradient through z, counted once under mixing. With
    `diversity` negative, experts gain by differing from their mean. Outputs without `experts` give cross-entropy, the
    official code's validation loss. Evaluation takes the mean logits.

    Published runs switch at an epoch, 160 of 200 on CIFAR: class weights by `callbacks.DRW`, and, by
    `callbacks.LossPhase`, from temperature 1 to one a class, `T_k = v_k / max(v)`, `v_k = C * pi_k * t + 1 - t` with
    the prior pi and t = `tempering`; Tm is the mean of T.

    With `teacher` (B, C) among the outputs the student's mean learns from it too (knowledge distillation), and the
    whole loss is `K * (RIDE + T^2 * KL(softmax(teacher / T) || softmax(z / T)))`: the official code adds it up once an
    expert.

    Args:
        class_counts: (C,) images of each class in the training set.
        diversity: factor of the second part; -0.45 for CIFAR, -0.2 for ImageNet-LT and iNaturalist. With 0 each
            expert's cross-entropy is that of the mean (the paper's "collaborative" loss), as in the official code.
        tempering: t in [0, 1]; 0.05 for CIFAR, 0.02 for ImageNet-LT, 0.015 for iNaturalist.
        max_margin: margin of the rarest class.
        scale: s, positive, that of the network.
        distill_temperature: T of the distillation, positive.
        class_weights: (C,) or None.

    Attributes:
        active: non-trainable float32 variable (), 0 at first; 1 for temperatures by class, also after tracing.

    Source: RIDE paper, Eq. 2-4; official code, `RIDELoss` and `RIDELossWithDistill`.

    Examples:
        >>> loss = RIDE([90, 10], max_margin=0.0)
        >>> outputs = {"experts": [[[0.0, 0.0], [0.0, 0.0]]], "logits": [[0.0, 0.0]]}
        >>> round(float(loss([1], outputs)), 4)  # two experts, who agree
        1.3863
    """

    flags = {"diversity": "ride_diversity", "tempering": "ride_tempering", "max_margin": "ldam_margin",
             "scale": "ldam_scale", "distill_temperature": "distill_temperature"}
    method = "ride"

    def __init__(self, class_counts: ArrayLike, diversity: float = -0.45, tempering: float = 0.05,
                 max_margin: float = 0.5, scale: float = 30.0, distill_temperature: float = 1.5,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        if not max_margin >= 0 or not scale > 0 or not distill_temperature > 0:
            raise UserError(f"{self.name}: max_margin {max_margin} must be at least 0, scale {scale} and "
                            f"distill_temperature {distill_temperature} positive")
        if not 0 <= tempering <= 1 or not np.isfinite(diversity):
            raise UserError(f"{self.name}: tempering {tempering} is in [0, 1] and diversity {diversity} finite")
        self.diversity, self.tempering = float(diversity), float(tempering)
        self.max_margin, self.scale = float(max_margin), float(scale)
        self.distill_temperature = float(distill_temperature)
        self.margins = ldam_margins(self.class_counts, self.max_margin).astype("float32")
        self.temperatures = class_temperatures(self.class_counts, self.tempering).astype("float32")
        self._active = None

    @property
    def active(self):
        if self._active is None:
            self.build(self.num_classes)
        return self._active

    def build(self, num_classes):
        super().build(num_classes)
        if self._active is None:
            self._active = constant_variable(0.0, (), "active")

    def terms(self, y_int, logits, statistics=None):
        labels, mean = self.prepare(y_int, logits)
        weights = ops.take(self.class_weights, labels)
        experts = _experts(logits)
        if experts is None:
            return cross_entropy(labels, mean), weights
        if not self.diversity:
            experts = ops.broadcast_to(ops.expand_dims(mean, 1), ops.shape(experts))
        own = ops.one_hot(labels, self.num_classes, dtype="float32")
        margins = ops.expand_dims(ops.take(ops.convert_to_tensor(self.margins), labels), -1) * own
        shifted = experts - self.scale * ops.expand_dims(margins, 1)
        labels = ops.repeat(ops.expand_dims(labels, -1), experts.shape[1], axis=1)
        return self._repeats(logits) * ops.sum(cross_entropy(labels, shifted), axis=1), weights

    def extra(self, logits):
        experts = _experts(logits)
        if experts is None:
            return None
        mean = ops.cast(logits["logits"], "float32")
        temperatures = ops.where(self.active > 0, ops.convert_to_tensor(self.temperatures), 1.0)
        factor = self.diversity * ops.square(ops.mean(temperatures))
        target = ops.expand_dims(ops.stop_gradient(mean / temperatures), 1)
        values = factor * ops.sum(divergence(target, experts / temperatures), axis=1)
        if "teacher" in logits:
            cool = self.distill_temperature
            teacher = ops.stop_gradient(ops.cast(logits["teacher"], "float32"))
            values = values + cool * cool * divergence(teacher / cool, mean / cool)
        return self._repeats(logits) * values

    @staticmethod
    def _repeats(outputs):
        return float(outputs["experts"].shape[1]) if "teacher" in outputs else 1.0

    def get_config(self):
        options = ("diversity", "tempering", "max_margin", "scale", "distill_temperature")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}


def class_temperatures(class_counts, tempering) -> np.ndarray:
    """T of each class, float64 (C,): 1 for the largest one, lower for rarer ones."""
    counts = np.asarray(class_counts, np.float64)
    raw = len(counts) * counts / counts.sum() * tempering + 1.0 - tempering
    if not raw.min() > 0:
        raise UserError(f"tempering {tempering}: gives a class without images the temperature 0; take less than 1")
    return raw / raw.max()


def divergence(target, logits):
    """KL(softmax(target) || softmax(logits)) over the last axis."""
    log_target = ops.log_softmax(target, axis=-1)
    return ops.sum(ops.exp(log_target) * (log_target - ops.log_softmax(logits, axis=-1)), axis=-1)


def _experts(outputs):
    """Float32 logits of the experts (B, K, C), or None where the outputs have none."""
    if not isinstance(outputs, dict) or "experts" not in outputs:
        return None
    return ops.cast(outputs["experts"], "float32")
