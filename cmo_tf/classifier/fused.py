"""Batch normalisation in one pass over the feature maps while a network is trained.

Keras makes it of some ten operations, each of which reads or writes the whole map. TensorFlow has a fused kernel, which
its graph optimiser also joins with a ReLU behind it; docs/performance.md has the gain. The network stays made of Keras'
own layers: what is saved and exported knows nothing of this.
"""

import types

import keras
import tensorflow as tf


def fuse(network) -> None:
    """Lets the BatchNormalization layers of a network use the fused kernel in training, in place.

    Weights and results are the same but for rounding. Inference, other dtypes than float32, other axes, masks,
    `synchronized` and `renorm` stay with Keras.
    """
    for layer in network._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization:
            layer.call = types.MethodType(_call, layer)


def _call(layer, inputs, training=None, mask=None):
    """As BatchNormalization.call."""
    if not (training and layer.trainable and mask is None and _fits(layer, inputs)):
        return keras.layers.BatchNormalization.call(layer, inputs, training=training, mask=mask)
    gamma, beta = (keras.ops.convert_to_tensor(variable) for variable in (layer.gamma, layer.beta))
    # Not tf.nn's wrapper, which raises an epsilon of 1e-5.
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=layer.epsilon, is_training=True)
    # The kernel divides by n - 1; Keras' running variance is that of n.
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    variance *= (count - 1.0) / count
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
    return outputs


def _fits(layer, inputs):
    plain = layer.scale and layer.center and not layer.renorm and not layer.synchronized
    return plain and layer.axis in (-1, 3) and len(inputs.shape) == 4 and inputs.dtype == tf.float32
