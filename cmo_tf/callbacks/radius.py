"""rho of sharpness-aware minimisation by the epoch."""

from collections.abc import Callable

import keras


class Radius(keras.callbacks.Callback):
    """Sets `model.rho` of a `LongTailClassifier(sam_rho=...)` when an epoch begins.

    Args:
        rho: function of the 0-indexed epoch to rho. A pure one, so that a resumed run needs no state of it.
    """

    def __init__(self, rho: Callable[[int], float]):
        super().__init__()
        self.rho = rho

    def on_epoch_begin(self, epoch, logs=None):
        self.model.rho.assign(self.rho(epoch))
