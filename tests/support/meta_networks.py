"""The small driver networks of the golden vectors of second-order steps, and batches for them."""

import keras
import numpy as np
import tensorflow as tf


def two_layers(golden, features=False):
    """12 -> 8 with tanh -> 10, with the golden weights `w/l1`, `w/linear`; a dict of logits and features if wanted."""
    inputs = keras.Input((12,))
    hidden = keras.layers.Dense(8, activation="tanh", name="l1")(inputs)
    logits = keras.layers.Dense(10, name="linear", dtype="float32")(hidden)
    network = keras.Model(inputs, {"logits": logits, "features": hidden} if features else logits)
    for name in ("l1", "linear"):
        network.get_layer(name).set_weights([golden[f"w/{name}.weight"].T, golden[f"w/{name}.bias"]])
    return network


def batch_of(golden, step):
    """A batch dict as the streams make it, with its meta batch."""
    labels, meta = (tf.constant(golden[f"s{step}_{name}"], tf.int32) for name in ("y", "meta_y"))
    return {"image": tf.constant(golden[f"s{step}_x"]), "label": labels, "meta_label": meta,
            "meta_image": tf.constant(golden[f"s{step}_meta_x"])}


def assert_close(got, expected, tolerance=1e-4, name=""):
    """To `tolerance` of the largest magnitude."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)


def assert_weights(network, golden, prefix):
    """The layers of `two_layers` have the golden weights."""
    for name in ("l1", "linear"):
        layer = network.get_layer(name)
        assert_close(layer.kernel.numpy().T, golden[f"{prefix}/{name}.weight"], name=f"{prefix} {name}")
        assert_close(layer.bias.numpy(), golden[f"{prefix}/{name}.bias"], name=f"{prefix} {name}")
