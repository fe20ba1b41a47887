"""PaCo: supervised contrast with a bank of keys and with learnable class centres (Cui et al., ICCV 2021)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.losses.balanced_softmax import EMPTY_CLASS
from cmo_tf.losses.base import CountedLoss, cross_entropy

EPSILON = 1e-9
BANK = ("query", "keys", "queue", "queue_labels")


@keras.saving.register_keras_serializable(package="cmo_tf")
class PaCo(CountedLoss):
    """Parametric contrastive loss; the logits are the similarities to the class centres.

    A row of the softmax is `[(z + log pi) / supt,  q . bank / t]` without the anchor itself, the bank being all
    queries, all keys and the queue. `L = -sum(weight * log p) / sum(weight)` over the positives: beta for the anchor's
    class centre, alpha for every item of the bank that has its label.

    The network returns a dict of `logits` (B, C), `query` and `keys` (B, d) of unit length, `queue` (K, d) and
    `queue_labels` (K,), as that of `--method=paco` does. Where there is no bank, as in validation, this is Balanced
    Softmax. Evaluation takes the raw logits.

    Args:
        class_counts: (C,) images of each class in the training set.
        alpha: weight of a positive of the bank, at least 0; 0.01 for CIFAR-100-LT, 0.05 for the large sets.
        temperature: t, positive; 0.05 for CIFAR-100-LT, 0.2 for the large sets.
        beta: weight of the class centre, positive.
        supt: temperature of the class centres, positive.
        gamma: weight of the bank in the softmax, at least 0.
        class_weights: (C,) or None.

    Source: PaCo paper, Eq. 5 and 6; official code, `PaCo/LT/losses.py`.

    Examples:
        >>> loss = PaCo([90, 10])
        >>> round(float(loss([1], {"logits": [[0.0, 0.0]]})), 4)  # without a bank
        2.3026
    """

    flags = {"alpha": "paco_alpha", "temperature": "paco_temperature", "beta": "paco_beta", "supt": "paco_supt"}
    prior_free = True
    method = "paco"
    couples_rows = True

    def __init__(self, class_counts: ArrayLike, alpha: float = 0.01, temperature: float = 0.05, beta: float = 1.0,
                 supt: float = 1.0, gamma: float = 1.0, class_weights: ArrayLike | None = None,
                 name: str | None = None):
        super().__init__(class_counts, class_weights, name)
        options = {"alpha": alpha, "temperature": temperature, "beta": beta, "supt": supt, "gamma": gamma}
        for option, value in options.items():
            if not (value >= 0 if option in ("alpha", "gamma") else value > 0):
                raise UserError(f"{self.name}: {option} {value} must be "
                                f"{'at least 0' if option in ('alpha', 'gamma') else 'positive'}")
        self.alpha, self.temperature, self.beta, self.supt, self.gamma = map(float, options.values())
        prior = np.maximum(self.class_counts, EMPTY_CLASS) / self.class_counts.sum()
        self.log_prior = np.log(prior + EPSILON).astype("float32")

    def terms(self, y_int, logits, statistics=None):
        bank = logits if isinstance(logits, dict) and "query" in logits else None
        labels, logits = self.prepare(y_int, logits)
        centres = (logits + ops.convert_to_tensor(self.log_prior)) / self.supt
        values = cross_entropy(labels, centres) if bank is None else self._contrast(labels, centres, bank)
        return values, ops.take(self.class_weights, labels)

    def _contrast(self, labels, centres, outputs):
        """Loss of each row, (B,)."""
        query, keys, queue = (ops.cast(outputs[name], "float32") for name in BANK[:3])
        bank = ops.concatenate([query, keys, queue])
        bank_labels = ops.concatenate([labels, labels, ops.cast(outputs["queue_labels"], "int32")])
        row = ops.concatenate([centres, query @ ops.transpose(bank) / self.temperature], axis=1)
        row = row - ops.stop_gradient(ops.max(row, axis=1, keepdims=True))
        rows, items = ops.shape(query)[0], ops.shape(bank)[0]
        others = ops.cast(ops.arange(rows)[:, None] != ops.arange(items)[None], "float32")
        same = ops.cast(labels[:, None] == bank_labels[None], "float32") * others
        in_softmax = ops.concatenate([ops.ones_like(centres), self.gamma * others], axis=1)
        own = ops.one_hot(labels, self.num_classes, dtype="float32")
        weight = ops.concatenate([self.beta * own, self.alpha * same], axis=1)
        log_share = row - ops.log(ops.sum(ops.exp(row) * in_softmax, axis=1, keepdims=True) + 1e-12)
        return -ops.sum(weight * log_share, axis=1) / ops.sum(weight, axis=1)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "temperature": self.temperature, "beta": self.beta,
                "supt": self.supt, "gamma": self.gamma}
