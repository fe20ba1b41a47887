"""Choosing among views that were worked out beforehand."""

import tensorflow as tf


class Views:
    """One of the columns of (B, 1, V, D) arrays, drawn anew for each row: float32 (B, 1, 1, D)."""

    def __init__(self, views):
        self.views = int(views)

    def draw(self, seed, batch_size):
        """{"view": (B,) int32 in [0, V)}."""
        return {"view": tf.random.stateless_uniform([batch_size], seed, 0, self.views, tf.int32)}

    def apply(self, images, parameters):
        """The drawn columns."""
        return tf.gather(images, parameters["view"][:, None], axis=2, batch_dims=1) if self.views > 1 else images
