"""Deferred re-weighting (Cao et al., NeurIPS 2019): effective-number weights from an epoch on."""

from cmo_tf.callbacks.reweight import Reweight
from cmo_tf.core.class_counts import effective_number_weights
from cmo_tf.core.types import ArrayLike


class DRW(Reweight):
    """`Reweight` with effective-number weights: ones before `start_epoch`.

    Args:
        class_counts: (C,) images of each class in the training set.
        start_epoch: first epoch (0-indexed) with weights; 160 of 200 in the CIFAR recipe.
        beta: of the effective number, in [0, 1).

    Source: LDAM paper, Algorithm 1; LDAM-DRW and CMO code, `train_rule == 'DRW'`.

    Examples:
        >>> drw = DRW([5000, 500, 50], start_epoch=160)
        >>> drw.weights(159).tolist(), drw.weights(160).round(3).tolist()
        ([1.0, 1.0, 1.0], [0.034, 0.275, 2.691])
    """

    def __init__(self, class_counts: ArrayLike, start_epoch: int, beta: float = 0.9999):
        super().__init__(effective_number_weights(class_counts, beta), start_epoch)
