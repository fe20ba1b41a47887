"""Class weights of the loss from an epoch on."""

import keras
import numpy as np

from cmo_tf.callbacks.assign import assign_in_loss
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike


class Reweight(keras.callbacks.Callback):
    """Sets `model.loss.class_weights` when an epoch begins: ones before `start_epoch`, the given weights after.

    A pure function of the epoch, so that a resumed run needs no state of it. The loss is any of cmo_tf.losses, also
    inside `Mixed`; another is refused by a UserError when training starts.

    Args:
        class_weights: (C,) finite and not negative, such as `losses.effective_number_weights(class_counts)`.
        start_epoch: first epoch (0-indexed) with weights.

    Examples:
        >>> Reweight([0.5, 1.5], start_epoch=3).weights(3).tolist()
        [0.5, 1.5]
    """

    def __init__(self, class_weights: ArrayLike, start_epoch: int = 0):
        super().__init__()
        self.class_weights = np.asarray(class_weights, dtype=np.float64)
        self.start_epoch = start_epoch

    def weights(self, epoch: int) -> np.ndarray:
        """Class weights of an epoch, float64 (C,)."""
        return self.class_weights if epoch >= self.start_epoch else np.ones_like(self.class_weights)

    def set_model(self, model):
        super().set_model(model)
        loss = getattr(model, "loss", None)
        if not (hasattr(loss, "class_weights") and hasattr(loss, "build")):
            name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
            raise UserError(f"{type(self).__name__}: the loss {name} has no class_weights; "
                            "compile with one of cmo_tf.losses")
        loss.build(len(self.class_weights))

    def on_epoch_begin(self, epoch, logs=None):
        assign_in_loss(self.model, self.model.loss.class_weights, self.weights(epoch))
