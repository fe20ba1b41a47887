"""Epochs in which images are mixed, for mixing layers that draw their own plan."""

import keras

from cmo_tf.core.errors import UserError


class MixWindow(keras.callbacks.Callback):
    """Switches mixing on in epochs `start <= e < stop` (0-indexed) and off in all others.

    Acts on the variable `active` of the mixing layer: that of `model.mixer`, or of any layer inside the model, or of
    the `layer` given, for one used in `ds.map` (a pipeline that prefetches may prepare its first batches of an epoch
    before the switch). A model without such a layer is refused by a UserError when training starts.

    Args:
        start, stop: epochs; the published window of 200 epochs is 4, 197.
        layer: the mixing layer, or None to look for it in the model.

    Source: CMO code, `start_data_aug < epoch < epochs - end_data_aug`.

    Examples:
        >>> window = MixWindow(4, 197)
        >>> [window.active(epoch) for epoch in (3, 4, 196, 197)]
        [False, True, True, False]
    """

    def __init__(self, start: int, stop: int, layer: keras.layers.Layer | None = None):
        super().__init__()
        if start > stop:
            raise UserError(f"MixWindow: start {start} comes after stop {stop}")
        self.start = start
        self.stop = stop
        self._given = layer
        self._layers: list[keras.layers.Layer] = []

    def active(self, epoch: int) -> bool:
        """Whether images are mixed in an epoch."""
        return self.start <= epoch < self.stop

    def set_model(self, model):
        super().set_model(model)
        candidates = _inside(model) if self._given is None else [self._given]
        self._layers = [layer for layer in candidates if isinstance(getattr(layer, "active", None), keras.Variable)]
        if not self._layers:
            where = f"the model {model.name}" if self._given is None else repr(self._given)
            raise UserError(f"MixWindow: {where} has no mixing layer; give the one of ds.map as layer=")

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self._layers:
            layer.active.assign(self.active(epoch))


def _inside(model):
    """The mixer and all layers of a model, those of nested models and layers too, each once."""
    found, waiting = [], [getattr(model, "mixer", None), *model.layers]
    while waiting:
        layer = waiting.pop()
        if layer is not None and not any(layer is other for other in found):
            found.append(layer)
            # A layer of the user's may hold one, too.
            waiting.extend(getattr(layer, "layers", None) or getattr(layer, "_layers", []))
    return found
