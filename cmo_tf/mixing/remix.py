"""Remix: mixup whose label leans to the rarer class (Chou et al., ECCV 2020 workshops)."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.class_counts import check_counts
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.mixing.mixup import Mixup


@keras.saving.register_keras_serializable(package="cmo_tf")
class Remix(Mixup):
    """Mixup images; the label share of a row is 0 or 1 where one of its two classes is far rarer.

    With a the own and b the permuted class: 0 if `n_a / n_b >= kappa` and `lam < tau`; 1 if `n_a / n_b <= 1 / kappa`
    and `1 - lam < tau`; else lam. With class weights the loss divides by the rows of the batch, not by their weights,
    as the ported code does.

    Args:
        class_counts: (C,) training images a class, positive where a class occurs.
        kappa: imbalance from which labels lean, >= 1.
        tau: share below which the larger class is given up, in [0, 0.5] so that only one case can hold.

    Source: Remix, Eq. 4; ntucllab/imbalanced-DL.
    """

    batch_mean = True

    def __init__(self, class_counts: ArrayLike, kappa: float = 3.0, tau: float = 0.5, **kwargs):
        if not kappa >= 1 or not 0 <= tau <= 0.5:
            raise UserError(f"--remix_kappa={kappa} must be at least 1 and --remix_tau={tau} in [0, 0.5]")
        super().__init__(**kwargs)
        self.class_counts, self.kappa, self.tau = check_counts(class_counts), float(kappa), float(tau)

    @classmethod
    def from_options(cls, *, class_counts, remix_kappa=3.0, remix_tau=0.5, alpha=1.0, probability=1.0, per_image=False,
                     seed=None, **_):
        return cls(class_counts, remix_kappa, remix_tau, alpha=alpha, probability=probability, per_image=per_image,
                   seed=seed)

    def label_share(self, batch, lam):
        counts = ops.convert_to_tensor(np.maximum(self.class_counts, 1e-6), dtype="float32")
        own, other = (ops.take(counts, ops.cast(batch[k], "int32")) for k in ("label", "label_q"))
        give_up = ops.logical_and(own >= self.kappa * other, lam < self.tau)
        keep = ops.logical_and(own * self.kappa <= other, 1.0 - lam < self.tau)
        return ops.where(give_up, 0.0, ops.where(keep, 1.0, lam))

    def get_config(self):
        return {**super().get_config(), "class_counts": self.class_counts.tolist(), "kappa": self.kappa,
                "tau": self.tau}
