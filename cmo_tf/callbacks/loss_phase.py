"""The epoch at which a loss with a warm-up phase becomes itself."""

import keras

from cmo_tf.callbacks.assign import assign_in_loss
from cmo_tf.core.errors import UserError


class LossPhase(keras.callbacks.Callback):
    """Sets `model.loss.active` when an epoch begins: 0 before `start_epoch`, 1 from it on.

    A pure function of the epoch. A loss without phases, one that has no variable `active`, is refused by a UserError
    when training starts.

    Args:
        start_epoch: first epoch (0-indexed) of the loss proper; 100 of 200 for the influence-balanced loss.
    """

    def __init__(self, start_epoch: int):
        super().__init__()
        self.start_epoch = start_epoch

    def active(self, epoch: int) -> bool:
        """Whether an epoch trains with the loss proper."""
        return epoch >= self.start_epoch

    def set_model(self, model):
        super().set_model(model)
        loss = getattr(model, "loss", None)
        if not hasattr(loss, "active"):
            name = loss if isinstance(loss, str) else type(loss).__name__
            raise UserError(f"LossPhase: the loss {name} has no phases; it is for InfluenceBalanced and RIDE")

    def on_epoch_begin(self, epoch, logs=None):
        assign_in_loss(self.model, self.model.loss.active, float(self.active(epoch)))
