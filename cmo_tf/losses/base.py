"""What every loss here is: hard labels in, per-row values and weights out, its own normaliser."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from cmo_tf.core.class_counts import check_counts
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike, Tensor
from cmo_tf.losses.network_output import calling_model, refuse_probabilities, refuse_squashed


class LongTailLoss(keras.losses.Loss):
    """Base of the losses. A subclass writes `values(labels, logits)`, and `get_config` if it has options.

    `loss(y_int, logits, sample_weight=None)` is `sum(values * weights * sw) / sum(weights * sw)`, a float32 scalar,
    as PyTorch's `cross_entropy(weight=...)` normalises it (Keras would divide by the batch size); 0 if all weights
    are 0. A loss with a term that knows no labels adds the mean of `extra`. Everything is computed in float32 whatever
    the policy and the dtype of the logits. No strategy is known here: a training step over replicas adds up `sums`
    itself.

    Labels are ints or floats that hold ints, (B,) or (B, 1), in [0, C). A graph cannot raise for others everywhere:
    TensorFlow stops with an error on CPU and gives NaN on GPU and under XLA.

    Args:
        num_classes: C, or None until `build` or the first call tells it.
        class_weights: (C,) finite and not negative, or None for ones.

    Attributes:
        class_weights: non-trainable float32 variable (C,); assign to it at any time, also after tracing. None as long
            as the number of classes is unknown.
        head: the head of the network that the loss is made for, "linear" or "normed".
        logit_scale: what evaluation multiplies logits by before a softmax, so that confidences mean something.
        flags: keyword of the constructor -> the program's flag that sets it.
        needs_features: whether the network must return a dict with `logits` and `features`.
        needs_kernel: whether the training step must add `kernel` to that dict, the weights (A, C) of the linear head.
        ramps: whether the loss has a variable `progress`, the share of the run that is over (`callbacks.LossRamp`).
        state: variables that the loss learns as it goes, part of every checkpoint.
        phase_flag: the program's flag with the first epoch of the loss proper, for one that has a variable `active`
            and is cross-entropy before (`callbacks.LossPhase`); None for a loss without phases.
        prior_free: whether the logits of evaluation are meant for balanced classes already, the training prior having
            been taken out by the loss.
        method: name of the one method whose network the loss works with, or None.
        couples_rows: whether the loss of a row depends on the others, so that a batch cannot be cut into micro-batches.
        reductions: name of a statistic -> how replicas bring it together, "sum" unless named; "logsumexp" otherwise.
    """

    head: str = "linear"
    flags: Mapping[str, str] = {}
    needs_features: bool = False
    needs_kernel: bool = False
    ramps: bool = False
    phase_flag: str | None = None
    prior_free: bool = False
    method: str | None = None
    reductions: Mapping[str, str] = {}
    couples_rows: bool = False

    def __init__(self, num_classes: int | None = None, class_weights: ArrayLike | None = None, name: str | None = None):
        super().__init__(name=name, dtype="float32")
        self.num_classes = None if num_classes is None else int(num_classes)
        self._initial_weights = None if class_weights is None else self._check_weights(class_weights)
        self._class_weights = None

    @classmethod
    def for_counts(cls, class_counts, **options):
        """The loss for a training set with these class counts (C,): how the program makes any loss."""
        return cls(num_classes=len(check_counts(class_counts)), **options)

    @property
    def logit_scale(self) -> float:
        return 1.0

    @property
    def state(self) -> list:
        return []

    @staticmethod
    def head_bias(num_classes) -> float | None:
        """What all biases of the head start at, or None for the network's own initial values."""
        return None

    @property
    def class_weights(self) -> keras.Variable | None:
        if self._class_weights is None and self.num_classes is not None:
            self.build(self.num_classes)
        return self._class_weights

    def build(self, num_classes: int) -> None:
        """Creates `class_weights`; again with the same number of classes does nothing, with another is a UserError."""
        if self.num_classes is None:
            self.num_classes = int(num_classes)
        if self.num_classes != num_classes:
            raise UserError(f"{self.name}: made for {self.num_classes} classes, but there are {num_classes}")
        if self._class_weights is None:
            initial = np.ones(num_classes) if self._initial_weights is None else self._initial_weights
            self._class_weights = constant_variable(initial, (self.num_classes,), "class_weights")

    def build_features(self, width: int) -> None:
        """Creates what depends on the number of features."""

    def observed(self, y_int: Tensor, outputs: dict, rows: Tensor) -> dict[str, Tensor]:
        """Sums over a training batch that a loss with state learns from, name -> tensor; replicas add them up.

        `rows` float32 (B,) is 0 for rows that do not count, those of mixed images. Empty for a loss without state.
        """
        return {}

    def absorb(self, sums: dict[str, Tensor]) -> None:
        """Changes the state by the `observed` of all replicas; a training step calls it once, before the loss."""

    def values(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Loss of each row, float32 (B,), from int32 labels (B,) and float32 logits (B, C)."""
        raise NotImplementedError

    def statistics(self, y_int: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Sums over the batch, name -> tensor, that a batch-coupled loss needs of all replicas together.

        Empty for a loss that is a sum over rows. A step on several replicas adds each entry up over them (or takes the
        logarithm of the sum of exponentials, where `reductions` says so) and hands the result to `terms`; without that
        a loss takes the statistics of the rows it sees.
        """
        return {}

    def terms(self, y_int: Tensor, logits: Tensor,
              statistics: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(values, weights), both float32 (B,), before any normalisation.

        Args:
            y_int: labels (B,) or (B, 1), each in [0, C).
            logits: (B, C), any float dtype, or a dict of network outputs with "logits".
            statistics: the summed `statistics` of all replicas; ignored by losses that have none.
        """
        labels, logits = self.prepare(y_int, logits)
        return self.values(labels, logits), ops.take(self.class_weights, labels)

    def prepare(self, y_int: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(int32 labels (B,), float32 logits (B, C)) from what a caller hands over; builds the loss."""
        logits = logits["logits"] if isinstance(logits, dict) else logits
        refuse_squashed(logits)
        logits = ops.cast(ops.convert_to_tensor(logits), "float32")
        y_int = ops.convert_to_tensor(y_int)
        if len(y_int.shape) > 2 or (len(y_int.shape) == 2 and y_int.shape[-1] != 1):
            raise UserError(
                f"{self.name}: labels are integers of shape (B,), got shape {tuple(y_int.shape)}; of a mixed batch fit "
                "takes all three, (image, label, pair) = CMO.pack(out), with the loss in cmo_tf.losses.Mixed"
            )
        self.build(logits.shape[-1])
        return ops.reshape(ops.cast(y_int, "int32"), (-1,)), logits

    def sums(self, y_int: Tensor, logits: Tensor, sample_weight: Tensor | None = None, share: Tensor | None = None,
             statistics: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(numerator, denominator) of the loss, float32 scalars; `share` (lam) multiplies the numerator only."""
        values, weights = self.terms(y_int, logits, statistics)
        if sample_weight is not None:
            weights = weights * self._row_weights(sample_weight)
        numerators = values * weights
        if share is not None:
            numerators = numerators * row_vector(share)
        return ops.sum(numerators), ops.sum(weights)

    def extra(self, logits: Tensor) -> Tensor | None:
        """A term without labels: its value for each row, float32 (B,), from the network's outputs; None for none.

        It is averaged over rows whatever the class weights, and counts once however many label sets there are.
        """
        return None

    def extra_sums(self, logits: Tensor, sample_weight: Tensor | None = None) -> tuple:
        """() or a single (numerator, denominator): those of `extra`, float32 scalars."""
        values = self.extra(logits)  # nosec B610
        if values is None:
            return ()
        rows = ops.ones_like(values) if sample_weight is None else self._row_weights(sample_weight)
        return ((ops.sum(values * rows), ops.sum(rows)),)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        refuse_probabilities(calling_model())
        sums = (self.sums(y_true, y_pred, sample_weight), *self.extra_sums(y_pred, sample_weight))
        return sum_of_quotients(sums)

    def _row_weights(self, sample_weight):
        sample_weight = ops.convert_to_tensor(sample_weight)
        if columns_of(sample_weight) != 1:
            raise UserError(f"{self.name}: sample_weight is one number a row, got shape {tuple(sample_weight.shape)}; "
                            "for the pair of CMO.pack put the loss in cmo_tf.losses.Mixed, in a plain keras.Model")
        return row_vector(sample_weight)

    def get_config(self):
        return {"num_classes": self.num_classes, "class_weights": self.current_weights(), "name": self.name}

    def current_weights(self) -> list[float] | None:
        """The class weights as they are now, or None if they are all 1."""
        weights = self._initial_weights
        if self._class_weights is not None:
            weights = ops.convert_to_numpy(self._class_weights)
        return None if weights is None or (weights == 1).all() else [float(weight) for weight in weights]

    def _check_weights(self, class_weights) -> np.ndarray:
        weights = np.asarray(class_weights, dtype=np.float32)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
            raise UserError(f"{self.name}: class_weights are finite numbers of at least 0, one a class")
        if self.num_classes is None:
            self.num_classes = len(weights)
        if self.num_classes != len(weights):
            raise UserError(f"{self.name}: {len(weights)} class_weights for {self.num_classes} classes")
        return weights


class CountedLoss(LongTailLoss):
    """A loss made from the class counts (C,) of the ORIGINAL training set, whatever is mixed or sampled later."""

    def __init__(self, class_counts: ArrayLike, class_weights: ArrayLike | None = None, name: str | None = None):
        self.class_counts = check_counts(class_counts)
        super().__init__(len(self.class_counts), class_weights, name)

    @classmethod
    def for_counts(cls, class_counts, **options):
        return cls(class_counts, **options)

    def get_config(self):
        config = super().get_config()
        del config["num_classes"]
        return {"class_counts": self.class_counts.tolist(), **config}


def constant_variable(initial, shape, name):
    """A non-trainable float32 variable that can be made anywhere, also by a first call inside a tf.function.

    Born in a stateless scope it is initialised outside of any graph when the scope ends.
    """
    with keras.StatelessScope():
        return keras.Variable(
            lambda shape, dtype=None: ops.convert_to_tensor(initial, dtype=dtype),
            shape=shape,
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )


def sum_of_quotients(sums):
    """`sum of numerator / denominator` over pairs of scalars, a quotient by 0 being 0."""
    return sum(ops.divide_no_nan(*pair) for pair in sums)


def columns_of(sample_weight):
    """How many numbers a sample_weight has a row: 1 of a scalar, (B,) or (B, 1)."""
    try:
        sizes = tuple(sample_weight.shape)[1:]
    except ValueError:  # TensorFlow's graph for weights of one and of two axes: neither shape is known in it
        raise UserError("sample_weight: this model was used with weights (B,) and with the pairs of CMO.pack; compile "
                        "it again in between") from None
    return 1 if not sizes else sizes[0] if len(sizes) == 1 else 0


def row_vector(x):
    """A float32 vector of one number a row (or of a single number for all) from (B,), (B, 1) or a scalar."""
    return ops.reshape(ops.cast(ops.convert_to_tensor(x), "float32"), (-1,))


def cross_entropy(labels, logits):
    """-log softmax(logits)[label] of each row, (B,)."""
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
