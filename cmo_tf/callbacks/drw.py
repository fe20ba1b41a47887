"""Deferred re-weighting (Cao et al., NeurIPS 2019): class weights from an epoch on."""

import keras
import numpy as np

from cmo_tf.errors import UserError
from cmo_tf.numbers import effective_number_weights


class DRW(keras.callbacks.Callback):
    """Sets `model.loss.class_weights` when an epoch begins: ones before `start_epoch`, effective-number weights after.

    A pure function of the epoch, so that a resumed run needs no state of it. The loss is any of cmo_tf.losses, also
    inside `Mixed`; another is refused by a UserError when training starts.

    Args:
        class_counts: (C,) images of each class in the training set.
        start_epoch: first epoch (0-indexed) with weights; 160 of 200 in the CIFAR recipe.
        beta: of the effective number, in [0, 1).

    Source: LDAM paper, Algorithm 1; LDAM-DRW and CMO code, `train_rule == 'DRW'`.
    """

    def __init__(self, class_counts, start_epoch, beta=0.9999):
        super().__init__()
        self.deferred = effective_number_weights(class_counts, beta)
        self.start_epoch = start_epoch

    def weights(self, epoch) -> np.ndarray:
        """Class weights of an epoch, float64 (C,)."""
        return self.deferred if epoch >= self.start_epoch else np.ones_like(self.deferred)

    def set_model(self, model):
        super().set_model(model)
        loss = getattr(model, "loss", None)
        if not (hasattr(loss, "class_weights") and hasattr(loss, "build")):
            name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
            raise UserError(f"DRW: the loss {name} has no class_weights; compile with one of cmo_tf.losses")
        loss.build(len(self.deferred))

    def on_epoch_begin(self, epoch, logs=None):
        self.model.loss.class_weights.assign(self.weights(epoch))
