"""The head of Causal Norm: a normalised classifier that subtracts at test time what momentum put into the features."""

import math

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import layer_seed, unit_norm


@keras.saving.register_keras_serializable(package="cmo_tf")
class CausalNorm(keras.layers.Layer):
    """Multi-head normalised classifier with the total direct effect (TDE) at inference.

    The features x (B, D) and the weights of a class are cut into K heads. Training:
    `z = tau / K * sum_k  w_k . x_k / ((||w_k|| + gamma) ||x_k||)`. Inference takes out the part along the direction
    `c_k = m_k / ||m_k||` of the moving mean m of all features seen in training:
    `z = tau / K * sum_k  w_k / (||w_k|| + gamma) . (x^_k - alpha cos(x_k, c_k) c_k)`, with x^ = x / ||x||.

    Input float (B, D), output float32 logits (B, units), computed in float32 under mixed precision too.

    Args:
        units: C.
        heads: K, a divisor of D. tau: scale of the cosines. gamma: added to the norm of the weights.
        alpha: strength of the subtraction; 0 gives the logits of training. 3 for ImageNet-LT, 1.5 for CIFAR-100, 1 for
            CIFAR-10.
        seed: int for repeatable initial weights, U(-1/sqrt(D), 1/sqrt(D)).

    Attributes:
        mean: non-trainable float32 variable (D,), m: in every training step `m = keep * m + batch mean of x`, not
            normalised, as only its direction counts. Zero, which subtracts nothing, before training.
        keep: non-trainable float32 variable (), 0.9; the official code changes it with the learning rate on sets other
            than CIFAR.

    Source: Tang et al. (NeurIPS 2020), Eq. 8 to 10; official code, `Causal_Norm_Classifier` and `run_networks.py`.
    """

    def __init__(self, units, heads=2, tau=16.0, gamma=1 / 32, alpha=1.5, seed=None, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.units, self.heads, self.seed = int(units), int(heads), seed
        self.tau, self.gamma, self.alpha = float(tau), float(gamma), float(alpha)

    def build(self, input_shape):
        size = input_shape[-1]
        if size % self.heads:
            raise UserError(f"--tde_heads={self.heads}: does not divide the {size} features of the network")
        bound = 1.0 / math.sqrt(size)
        initial = keras.initializers.RandomUniform(-bound, bound, seed=self.seed)
        self.kernel = self.add_weight((size, self.units), initializer=initial, name="kernel")
        state = dict(trainable=False, autocast=False, aggregation="mean")
        self.mean = self.add_weight((size,), initializer="zeros", name="mean", **state)
        self.keep = self.add_weight((), initializer=keras.initializers.Constant(0.9), name="keep", **state)

    def call(self, inputs, training=None):
        features = unit_norm(self._cut(inputs), axis=-1)
        if training:
            self.mean.assign(self.keep * self.mean + ops.mean(ops.stop_gradient(inputs), axis=0))
        else:
            direction = unit_norm(self._cut(self.mean[None]), axis=-1)
            cosine = ops.sum(features * direction, axis=-1, keepdims=True)
            features = features - self.alpha * cosine * direction
        logits = ops.matmul(ops.reshape(features, (-1, self.kernel.shape[0])), self._weights())
        return self.tau / self.heads * logits

    def _cut(self, features):
        """(B, D) -> (B, K, D/K)."""
        return ops.reshape(features, (-1, self.heads, self.kernel.shape[0] // self.heads))

    def _weights(self):
        """Weights (D, C) divided by their norm in each head plus gamma."""
        size = self.kernel.shape[0]
        cut = ops.reshape(self.kernel, (self.heads, size // self.heads, self.units))
        norm = ops.sqrt(ops.maximum(ops.sum(ops.square(cut), axis=1, keepdims=True), 1e-24))
        return ops.reshape(cut / (norm + self.gamma), (size, self.units))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "heads": self.heads, "tau": self.tau,
                "gamma": self.gamma, "alpha": self.alpha, "seed": self.seed}


def with_causal_head(network, num_classes, seed=None, **options):
    """The network with its classifier replaced by `CausalNorm(num_classes, **options)` on its layer "features"."""
    features = network.get_layer("features").output
    head = CausalNorm(num_classes, seed=layer_seed(seed, "linear.weight"), name="linear", **options)
    return keras.Model(network.input, head(features), name=network.name)


def causal_head(network):
    """The CausalNorm layer of a network, or None."""
    return next((layer for layer in network.layers if isinstance(layer, CausalNorm)), None)
