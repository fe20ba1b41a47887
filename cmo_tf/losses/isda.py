"""ISDA, implicit semantic data augmentation: a loss that learns how features vary (Wang et al., NeurIPS 2019)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.base import LongTailLoss, constant_variable, cross_entropy, row_vector
from cmo_tf.losses.class_covariance import ClassCovariance, class_sums, merged, spread


@keras.saving.register_keras_serializable(package="cmo_tf")
class ISDA(LongTailLoss):
    """`CE(z_j + r / 2 (w_j - w_y)^T S_y (w_j - w_y), y)`: the cross-entropy of endlessly many features drawn around h.

    S_y is the running covariance of the features of class y over all batches so far, this one included. It is a
    constant for the gradient; the weights w of the head are not. r grows with the run, `strength * progress`. For the
    linear head; evaluation takes the plain logits.

    The network returns a dict with `logits` and `features` (B, A), and the training step adds `kernel` (A, C), that of
    the head. `observed` and `absorb` move the covariance: a step calls them once, with the sums of all replicas, before
    it calls the loss. Rows of mixed images do not count.

    Args:
        num_classes: C, or None to take it from the first batch of logits.
        strength: at least 0; 0.5 on CIFAR, on ImageNet 7.5 for ResNet-50 (diagonal).
        full_up_to: features up to which covariances are full; above, their diagonals alone are kept.
        class_weights: (C,) or None.

    Attributes:
        progress: non-trainable float32 variable (), share of the run that is over; 1 at first. `callbacks.LossRamp`
            sets it.
        state: the variables that a checkpoint holds: covariance (C, A, A) or (C, A), mean (C, A), amount (C,). Empty as
            long as the number of features is unknown.

    Source: ISDA paper, Eq. 8 and 9; official code, `ISDALoss` of CIFAR (full) and ImageNet (diagonal).

    Examples:
        >>> outputs = {"logits": [[0.0, 0.0]], "features": [[1.0]], "kernel": [[1.0, -1.0]]}
        >>> loss = ISDA(num_classes=2, strength=1.0)
        >>> loss.build_features(1)
        >>> loss.state[0].assign([[[0.5]], [[0.0]]]) is None
        True
        >>> round(float(loss([0], outputs)), 4)  # log(1 + exp(1 / 2 * 2^2 * 0.5))
        1.3133
    """

    flags = {"strength": "isda_strength", "full_up_to": "isda_full_up_to"}
    needs_features = True
    needs_kernel = True
    couples_rows = True
    ramps = True

    def __init__(self, num_classes: int | None = None, strength: float = 0.5, full_up_to: int = 128,
                 class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(num_classes, class_weights, name)
        if not strength >= 0:
            raise UserError(f"{self.name}: strength {strength} must be at least 0")
        self.strength, self.full_up_to = float(strength), int(full_up_to)
        self._progress, self._state = None, None

    @property
    def progress(self):
        if self._progress is None and self.num_classes is not None:
            self.build(self.num_classes)
        return self._progress

    @property
    def state(self):
        return [] if self._state is None else list(self._state)

    def build(self, num_classes):
        super().build(num_classes)
        if self._progress is None:
            self._progress = constant_variable(1.0, (), "progress")

    def build_features(self, width):
        if self._state is None:
            full = (self.num_classes, width, *((width,) if width <= self.full_up_to else ()))
            shapes = {"covariance": full, "mean": full[:2], "amount": full[:1]}
            self._state = ClassCovariance(*(constant_variable(np.zeros(shape), shape, name)
                                            for name, shape in shapes.items()))

    def observed(self, y_int, outputs, rows):
        labels, features = self._prepared(y_int, outputs)
        return class_sums(self._tensors(), ops.stop_gradient(features), labels, rows)

    def absorb(self, sums):
        for variable, value in zip(self._state, merged(self._tensors(), sums), strict=True):
            variable.assign(value)

    def terms(self, y_int, logits, statistics=None):
        outputs = logits
        labels, _ = self._prepared(y_int, outputs)
        kernel = ops.cast(outputs["kernel"], "float32")
        covariance = ops.stop_gradient(self._tensors().covariance)
        ratio = 0.5 * self.strength * row_vector(self.progress)
        _, logits = self.prepare(y_int, outputs)
        values = cross_entropy(labels, logits + ratio * spread(kernel, covariance, labels))
        return values, ops.take(self.class_weights, labels)

    def _tensors(self):
        return ClassCovariance(*map(ops.convert_to_tensor, self._state))

    def _prepared(self, y_int, outputs):
        """(int32 labels, float32 features) of a batch; creates the state."""
        if not isinstance(outputs, dict) or not {"features", "kernel"} <= set(outputs):
            raise UserError(f"{self.name}: the network must return a dict with logits and features, to which the step "
                            "adds the head's kernel; make it by models.create(..., features=True) and train it "
                            "with LongTailClassifier")
        labels, _ = self.prepare(y_int, outputs)
        features = ops.cast(ops.convert_to_tensor(outputs["features"]), "float32")
        self.build_features(features.shape[-1])
        return labels, features

    def get_config(self):
        return {**super().get_config(), "strength": self.strength, "full_up_to": self.full_up_to}
