"""A classifier on features that a frozen trunk has given, and the two put together again."""

import keras

from cmo_tf.models.heads import classifier, uniform_linear

HEAD = "fc"


def create(size: int, num_classes: int, head: str, seed: int | None = None, features: bool = False) -> keras.Model:
    """A classifier of features that come as images of one pixel, float32 (B, 1, 1, size) -> logits (B, C), or with
    `features` a dict of both.

    Args:
        head: see `heads.classifier`.
        seed: of the initial weights.
    """
    images = keras.Input((1, 1, size), name="image", dtype="float32")
    pooled = keras.layers.Reshape((size,), name="features", dtype="float32")(images)
    logits = classifier(pooled, num_classes, head, HEAD, seed, uniform_linear)
    return keras.Model(images, {"logits": logits, "features": pooled} if features else logits, name=HEAD)


def trunk_of(network: keras.Model) -> keras.Model:
    """The part of a network from images to its pooled "features"; it shares the network's weights."""
    return keras.Model(network.input, network.get_layer("features").output, name=network.name)


def joined(trunk: keras.Model, head: keras.Model) -> keras.Model:
    """One network, images -> what `head` gives, made of the layers of both; it shares their weights.

    Args:
        trunk: images -> features (B, D).
        head: made by `create`, perhaps with layers behind it, one after the other.
    """
    x = trunk.output
    for layer in head.layers[2:]:  # behind the image and the features
        x = layer(x)
    outputs = {"logits": x, "features": trunk.output} if isinstance(head.output, dict) else x
    return keras.Model(trunk.input, outputs, name=trunk.name)
