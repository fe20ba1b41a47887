"""`--init_from`: the network that a run starts from, taken from another run's folder."""

import os

import keras

from cmo_tf.core.errors import UserError
from cmo_tf.models.weights import saved_file


def network(config, data):
    """The inner network (normalised images -> logits) of the run in `--init_from`, or None without the flag."""
    if not config.init_from:
        return None
    path = os.path.join(config.init_from, "model.keras")
    if not os.path.exists(path):
        raise UserError(f"--init_from={config.init_from}: no model.keras there; name the folder of a finished run")
    model = saved_file.load(path)
    inner = next((layer for layer in reversed(model.layers) if isinstance(layer, keras.Model)), None)
    if inner is None or tuple(model.input_shape[1:]) != data.image_shape:
        raise UserError(f"--init_from={config.init_from}: its network takes images of {tuple(model.input_shape[1:])}, "
                        f"this run has {data.image_shape}")
    return inner
