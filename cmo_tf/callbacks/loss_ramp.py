"""A loss whose strength grows with the run."""

import keras

from cmo_tf.callbacks.assign import assign_in_loss
from cmo_tf.core.errors import UserError


class LossRamp(keras.callbacks.Callback):
    """Sets `model.loss.progress` when an epoch begins: epoch / epochs, 0 in the first.

    A pure function of the epoch. A loss without `progress` is refused by a UserError when training starts.

    Args:
        epochs: length of the run.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def set_model(self, model):
        super().set_model(model)
        loss = getattr(model, "loss", None)
        if not hasattr(loss, "progress"):
            name = loss if isinstance(loss, str) else type(loss).__name__
            raise UserError(f"LossRamp: the loss {name} does not grow with the run; it is for ISDA")

    def on_epoch_begin(self, epoch, logs=None):
        assign_in_loss(self.model, self.model.loss.progress, epoch / self.epochs)
