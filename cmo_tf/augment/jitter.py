"""torchvision's ColorJitter on PIL images, a row at a time of its own."""

import tensorflow as tf

from cmo_tf.augment.color import brightness, color, contrast, grayscale, hue
from cmo_tf.augment.rows import OpTable, check_pixels

OPS = OpTable(None, brightness, contrast, color, hue)


class ColorJitter:
    """Brightness, contrast, saturation and hue in random order, every image with its own order and factors.

    Args:
        brightness, contrast, saturation: the factor is U(max(0, 1 - v), 1 + v); 0 leaves the op out.
        hue: the shift is U(-v, v) of the hue circle, v at most 0.5; 0 leaves the op out.
        name: for messages.

    Images (B,H,W,C) uint8, grey or RGB (hue leaves grey alone), rounded to 8 bits after each op as PIL does.
    """

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, name="color jitter"):
        strengths = (brightness, contrast, saturation, hue)
        self.name = name
        self.kinds = [kind for kind, strength in enumerate(strengths, 1) if strength]
        centers = [0.0 if kind == 4 else 1.0 for kind in self.kinds]
        self.high = [center + strengths[kind - 1] for center, kind in zip(centers, self.kinds, strict=True)]
        self.low = [-strengths[3] if kind == 4 else max(0.0, 1.0 - strengths[kind - 1]) for kind in self.kinds]

    def draw(self, seed, batch_size):
        """{"op": (B,n) int32, "value": (B,n) float64} in the order of application, n the ops that are not left out."""
        seeds = tf.random.experimental.stateless_split(seed, 2)
        shape = [batch_size, len(self.kinds)]
        order = tf.argsort(tf.random.stateless_uniform(shape, seeds[0]), axis=-1)
        uniform = tf.random.stateless_uniform(shape, seeds[1], dtype=tf.float64)
        low, high = tf.constant(self.low, tf.float64), tf.constant(self.high, tf.float64)
        value = tf.gather(low + uniform * (high - low), order, batch_dims=1)
        return {"op": tf.gather(tf.constant(self.kinds, tf.int32), order), "value": value}

    def apply(self, images, parameters):
        """The jittered images."""
        check_pixels(images, self.name)
        for place in range(len(self.kinds)):
            images = OPS(images, parameters["op"][:, place], parameters["value"][:, place])
        return images


class Grayscale:
    """All channels become the luma."""

    def draw(self, seed, batch_size):
        """Nothing to draw."""
        return {}

    def apply(self, images, parameters=None):
        """The grey images, with as many channels as before."""
        return grayscale(images)
