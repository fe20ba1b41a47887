"""The networks of PaCo: a classifier with a projection beside it, and the key encoder that follows it."""

import keras
from keras import layers, ops

from cmo_tf.core.errors import UserError
from cmo_tf.models.heads import layer_seed, linear_of, uniform_linear, unit_norm


def with_plain_head(network, num_classes, seed=None):
    """The network with a linear classifier on its layer "features" that starts as PyTorch's `nn.Linear` does."""
    features = network.get_layer("features").output
    logits = uniform_linear(num_classes, features.shape[-1], "linear", seed)(features)
    return keras.Model(network.input, logits, name=network.name)


def with_projection(network, dim, seed=None):
    """Model from images to {"logits", "query"}: the network and, on its features (D), the MLP D -> D -> dim with
    BatchNorm and ReLU between, not normalised. The layers of the network are shared."""
    if "features" not in {layer.name for layer in network.layers}:
        raise UserError(f"--init_from: its network {network.name} has no layer of pooled features to project")
    features = network.get_layer("features").output
    width = features.shape[-1]
    x = uniform_linear(width, width, "fc.0", seed)(features)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="fc.1")(x)
    x = layers.Activation("relu", name="fc.2")(x)
    query = linear_of(network)(dim, width, "fc.3", seed)(x)
    return keras.Model(network.input, {"logits": network.output, "query": query}, name=f"{network.name}_query")


def key_encoder(encoder):
    """A copy of an encoder that no gradient changes; its BatchNorm works on the batch in training."""
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    # Not `trainable` of layers, which would set BatchNorm to inference.
    for variable in copy.variables:
        variable.trainable = False
    return copy


def follow(copy, encoder, momentum):
    """One step of a key encoder's weights towards the encoder's: `k = momentum k + (1 - momentum) q`."""
    for mine, theirs in zip(copy.weights, encoder.weights, strict=True):
        if theirs.trainable:
            mine.assign(momentum * mine + (1.0 - momentum) * theirs)


def random_queue(length, dim, seed):
    """Keys (length, dim) that a queue starts with: normal, scaled to unit norm along the QUEUE, as in the official
    code, whose keys proper have unit norm themselves."""
    return unit_norm(keras.random.normal((length, dim), seed=layer_seed(seed, "queue")), axis=0)


def random_labels(length, num_classes, seed):
    """The labels (length,) int32 that a queue starts with."""
    return keras.random.randint((length,), 0, num_classes, seed=layer_seed(seed, "queue_labels"))


def enqueue(queue, place, rows):
    """The queue (K, ...) with `rows` (B, ...) at `place`."""
    at = ops.arange(ops.shape(rows)[0], dtype="int32") + place
    return ops.scatter_update(queue, at[:, None], rows)
