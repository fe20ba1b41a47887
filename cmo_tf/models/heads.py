"""Classifier heads on pooled features: linear, the cosine head of the LDAM family, and the scaled one of LIFT."""

import math
import zlib

import keras
import numpy as np
from keras import ops

from cmo_tf.core.errors import UserError

# What cosines are multiplied by in the head "cosine". Source: LIFT (Shi et al., ICML 2024), code at 661ead9.
COSINE_SCALE = 25.0


def layer_seed(seed: int | None, name: str) -> int | None:
    """A seed of its own for each layer (equal seeds draw equal values in Keras), or None."""
    return None if seed is None else zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def classifier(features, num_classes: int, head: str, name: str, seed: int | None = None, dense=None):
    """Logits (B, C), float32 whatever the policy, from float features (B, D).

    "linear" is the layer that the function `dense` makes, `linear` or `uniform_linear`; "normed" is `NormedLinear`, for
    losses that scale cosines themselves; "cosine" is the same with a scale of 25, for all others.
    """
    if head == "linear":
        return (dense or linear)(num_classes, features.shape[-1], name, seed)(features)
    if head in ("normed", "cosine"):
        scale = COSINE_SCALE if head == "cosine" else 1.0
        return NormedLinear(num_classes, seed=layer_seed(seed, f"{name}.weight"), scale=scale, name=name)(features)
    raise UserError(f"head {head!r}: there are 'linear', 'normed' and 'cosine'")


def linear(units: int, width: int, name: str, seed: int | None = None):
    """A dense layer for features (B, width) as the CIFAR ResNets draw theirs: kernel N(0, 2 / width) untruncated, bias
    as in `uniform_linear`."""
    return uniform_linear(units, width, name, seed, kernel=he_normal(layer_seed(seed, f"{name}.weight")))


def uniform_linear(units: int, width: int, name: str, seed: int | None = None, kernel=None):
    """A dense layer for features (B, width) as PyTorch's `nn.Linear` starts: kernel (unless it is given) and bias
    U(-1/sqrt(width), 1/sqrt(width))."""
    bound = 1.0 / math.sqrt(width)

    def uniform(part):
        return keras.initializers.RandomUniform(-bound, bound, layer_seed(seed, f"{name}.{part}"))
    return keras.layers.Dense(units, kernel_initializer=kernel or uniform("weight"), bias_initializer=uniform("bias"),
                              dtype="float32", name=name)


def linear_of(network):
    """The function `linear` or `uniform_linear` that makes dense layers as the family of a network has them.

    The small-image ResNets draw all their layers alike, which "conv1" shows; others leave dense layers to PyTorch.
    """
    first = next((layer for layer in network.layers if layer.name == "conv1"), None)
    if first is None or {**first.kernel_initializer.get_config(), "seed": None} == he_normal().get_config():
        return linear
    return uniform_linear


def he_normal(seed: int | None = None):
    """N(0, 2 / fan_in) as PyTorch's `kaiming_normal_` draws it; Keras' own HeNormal is truncated."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_in", distribution="untruncated_normal", seed=seed)


@keras.saving.register_keras_serializable(package="cmo_tf")
class NormedLinear(keras.layers.Layer):
    """Cosine classifier: `z = scale * (x / ||x||) @ (W / ||W||)`, columns of W normalised per class, no bias.

    Input float (B, D), output float32 (B, units) in [-scale, scale]; computed in float32 under mixed precision too.
    `scale` is 1 for losses that have one of their own (30 in LDAM). Initial weights: U(-1, 1), each column rescaled to
    unit norm. An int `seed` makes them repeatable.

    Source: LDAM (Cao et al., NeurIPS 2019) and CMO code, `NormedLinear`.
    """

    def __init__(self, units: int, seed: int | None = None, scale: float = 1.0, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.units = units
        self.seed = seed
        self.scale = float(scale)

    def build(self, input_shape):
        uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=self.seed)

        def unit_columns(shape, dtype=None):
            return unit_norm(uniform(shape, dtype=dtype), axis=0)

        self.kernel = self.add_weight((input_shape[-1], self.units), initializer=unit_columns, name="kernel")

    def call(self, inputs):
        cosines = ops.matmul(unit_norm(inputs, axis=-1), unit_norm(self.kernel, axis=0))
        return cosines if self.scale == 1.0 else self.scale * cosines

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "seed": self.seed, "scale": self.scale}


def unit_norm(x, axis: int):
    """`x / max(||x||, 1e-12)` along an axis; the maximum is taken of the squares, so that 0 has a gradient."""
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x / ops.sqrt(ops.maximum(squares, 1e-24))


def start_at_class_means(head: NormedLinear, features, labels) -> None:
    """Sets each column of a cosine head to the mean feature of its class, at unit length.

    Args:
        head: a built NormedLinear of C units on D features.
        features: float (N, D), as the frozen network gives them, not normalised one by one.
        labels: integers (N,) in [0, C). A class without rows keeps its random column.

    Source: LIFT (Shi et al., ICML 2024), code at 661ead9, `init_head_class_mean`.
    """
    kernel = ops.convert_to_numpy(head.kernel).copy()
    for label in np.unique(labels):
        mean = np.asarray(features[np.flatnonzero(labels == label)], np.float64).mean(0)
        kernel[:, label] = mean / max(np.linalg.norm(mean), 1e-12)
    head.kernel.assign(kernel)
