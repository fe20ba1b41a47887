"""torchvision's RandomRotation on PIL images."""

import tensorflow as tf

from cmo_tf.augment.geometry import rotate


class RandomRotation:
    """Turns each image by an angle from U(-degrees, degrees) about its middle: nearest pixels, black outside.

    Images (B,H,W,C) of any dtype keep their size. Source: `torchvision.transforms.RandomRotation` with its defaults.
    """

    def __init__(self, degrees):
        self.degrees = float(degrees)

    def draw(self, seed, batch_size):
        """{"angle": (B,) float64, degrees counter-clockwise}."""
        angle = tf.random.stateless_uniform([batch_size], seed, -self.degrees, self.degrees, tf.float64)
        return {"angle": angle}

    def apply(self, images, parameters):
        """The rotation itself, equal to `PIL.Image.rotate`."""
        return rotate(images, parameters["angle"], "nearest", (0, 0, 0))
