"""Cutout: one square hole a picture."""

import tensorflow as tf

from cmo_tf.core.errors import UserError

FILLS = ("black", "mean")


class Cutout:
    """One square hole with its centre uniform over the pixels, clipped at the borders; the label is unchanged.

    Args:
        length: L, side of the hole: rows `[y - L//2, y + L//2)`, so that an odd L leaves a hole of L - 1, as published.
        fill: "black", a hole of zeros before normalisation, as the long recipes of PaCo and CMO cut it, or "mean", the
            mean colour: what the original writes as 0 after normalisation, rounded to a whole level for uint8 images.
        mean: C floats in units of [0, 1], for fill "mean".

    Images (B,H,W,C), uint8 or float in [0, 255]; shape and dtype are kept. Source: DeVries and Taylor,
    arXiv:1708.04552 (L = 16 for CIFAR-10, 8 for CIFAR-100); PaCo's and CMO's 400-epoch recipes take 16.
    """

    def __init__(self, length=16, fill="black", mean=None):
        if fill not in FILLS:
            raise UserError(f"--cutout_fill={fill}: there are {', '.join(FILLS)}")
        if fill == "mean" and mean is None:
            raise UserError("--cutout_fill=mean needs the mean colour of the set")
        if int(length) < 1:
            raise UserError(f"--cutout_size={length}: the hole is at least 1 pixel wide")
        self.length = int(length)
        self.color = [0.0] if fill == "black" else [255.0 * m for m in mean]

    def draw(self, seed, batch_size):
        """{"center": (B,2) in [0, 1), y and x as shares of the sides}."""
        return {"center": tf.random.stateless_uniform([batch_size, 2], seed)}

    def apply(self, images, parameters):
        """The images with their holes."""
        rows = _inside(parameters["center"][:, 0], images.shape[1], self.length)
        columns = _inside(parameters["center"][:, 1], images.shape[2], self.length)
        hole = rows[:, :, None, None] & columns[:, None, :, None]
        color = tf.round(self.color) if images.dtype.is_integer else tf.constant(self.color)
        return tf.where(hole, tf.cast(color, images.dtype), images)


def _inside(center, side, length):
    """(B, side) bool: which lines the hole covers."""
    middle = tf.minimum(tf.cast(center * side, tf.int32), side - 1)[:, None]
    line = tf.range(side)
    return (line >= middle - length // 2) & (line < middle + length // 2)
