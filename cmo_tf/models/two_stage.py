"""Networks of second stages: a trained trunk with a new head, or with its own head and a scale a class behind it."""

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import NormedLinear, classifier, layer_seed, linear_of, uniform_linear

SCALE, FEATURE_HEAD = "class_scale", "fc"


@keras.saving.register_keras_serializable(package="cmo_tf")
class ClassScale(keras.layers.Layer):
    """`z_k = s_k * z_k`, s learned, ones at first; float32 (B, C) to float32 (B, C).

    Source: LWS (Kang et al., ICLR 2020; `scales` of its classifier, the bias is scaled too) and MiSLAS (Zhong et al.,
    CVPR 2021; `LearnableWeightScaling`).
    """

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return self.scale * inputs


def copy(network):
    """A network of new variables with the same values, made in the distribution strategy that is in scope."""
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    return twin


def head(network):
    """The layer that makes logits of features: the last Dense or NormedLinear. UserError where there is none."""
    heads = [layer for layer in network.layers if isinstance(layer, (keras.layers.Dense, NormedLinear))]
    if not heads:
        raise UserError(f"--method: the network {network.name!r} has no linear head to train again; take a network "
                        "with one, such as --model=resnet32")
    return heads[-1]


def linear_head(network, num_classes):
    """`head`, if the logits of the network are those of a linear head, as methods that keep it need."""
    found, logits = head(network), network.output
    logits = logits["logits"] if isinstance(logits, dict) else logits
    if not isinstance(found, keras.layers.Dense) or logits is not found.output or found.units != num_classes:
        raise UserError(f"--method: it keeps the linear head of the first stage and {network.name!r} has none for "
                        f"{num_classes} classes; use --method=crt, which makes a new one")
    return found


def with_new_head(network, num_classes, seed=None):
    """A copy of a network with a freshly drawn linear head of the old one's name (cRT)."""
    network = copy(network)
    old = head(network)
    # Not the seed of the first head, which would start with the same values.
    logits = classifier(old.input, num_classes, "linear", old.name, layer_seed(seed, "second head"), linear_of(network))
    return keras.Model(network.input, logits, name=network.name)


def with_class_scale(network, num_classes):
    """A copy of a network with `ClassScale` behind its linear head (LWS, MiSLAS, LAS)."""
    network = copy(network)
    logits = ClassScale(name=SCALE)(linear_head(network, num_classes).output)
    return keras.Model(network.input, logits, name=network.name)


def without_bias(network, num_classes):
    """A copy of a network whose linear head has lost its bias (tau-normalisation)."""
    network = copy(network)
    old = linear_head(network, num_classes)
    new = keras.layers.Dense(num_classes, use_bias=False, dtype="float32", name=old.name)
    logits = new(old.input)
    new.kernel.assign(ops.cast(old.kernel, "float32"))
    return keras.Model(network.input, logits, name=network.name)


def norms_to(kernel, tau) -> np.ndarray:
    """`||w_k||^tau` of the columns of a head's kernel (D, C), float32 (C,): what logits without bias are divided by.

    Source: Kang et al., ICLR 2020, Eq. 2, and `pnorm` of `tau_norm.py`.
    """
    norms = np.linalg.norm(ops.convert_to_numpy(kernel), axis=0)
    return np.maximum(norms, 1e-12).astype(np.float32) ** np.float32(tau)


def on_features(size: int, num_classes: int, head: str, seed: int | None = None, features: bool = False) -> keras.Model:
    """A classifier of features that come as images of one pixel, float32 (B, 1, 1, size) -> logits (B, C), or with
    `features` a dict of both.

    Args:
        head: see `heads.classifier`.
        seed: of the initial weights.
    """
    images = keras.Input((1, 1, size), name="image", dtype="float32")
    pooled = keras.layers.Reshape((size,), name="features", dtype="float32")(images)
    logits = classifier(pooled, num_classes, head, FEATURE_HEAD, seed, uniform_linear)
    return keras.Model(images, {"logits": logits, "features": pooled} if features else logits, name=FEATURE_HEAD)


def trunk_of(network: keras.Model) -> keras.Model:
    """The part of a network from images to its pooled "features"; it shares the network's weights."""
    return keras.Model(network.input, network.get_layer("features").output, name=network.name)


def joined(trunk: keras.Model, head: keras.Model) -> keras.Model:
    """One network, images -> what `head` gives, made of the layers of both; it shares their weights.

    Args:
        trunk: images -> features (B, D).
        head: made by `on_features`, perhaps with layers behind it, one after the other.
    """
    x = trunk.output
    for layer in head.layers[2:]:  # behind the image and the features
        x = layer(x)
    outputs = {"logits": x, "features": trunk.output} if isinstance(head.output, dict) else x
    return keras.Model(trunk.input, outputs, name=trunk.name)
