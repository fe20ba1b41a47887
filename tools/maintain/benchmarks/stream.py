"""The training stream alone: crop, flip and normalisation of 32x32 images in memory, without and with foregrounds."""

import numpy as np

from tools.maintain.benchmarks import material
from tools.maintain.benchmarks.rounds import Bench, Stopwatch

MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])


def make(options) -> Bench:
    """P alone, and pairs of P and Q on every batch, both normalised in the stream (the program does it in the step)."""
    sides = {"P": reader(options, 0.0), "P+Q pairs": reader(options, 1.0)}
    return Bench("rows", sides, {"P+Q pairs over P": ("P+Q pairs", "P")})


def normalised(batch):
    """The batch with its images as float32, mean and deviation taken out."""
    import tensorflow as tf
    # Of a whole image's shape: broadcasting three numbers costs more than the arithmetic.
    scale, shift = (np.broadcast_to(np.float32(v), (32, 32, 3)) for v in (1 / (255 * STD), -MEAN / STD))
    return {**batch, **{name: tf.cast(batch[name], tf.float32) * scale + shift for name in ("image", "image_q")}}


def reader(options, probability):
    """A side that reads `20 * steps` batches. Each stretch has an iterator of its own, which would otherwise go on
    while others are measured."""
    import tensorflow as tf

    from cmo_tf.pipeline import train_stream
    images, labels = material.in_memory(options)
    batch, batches = material.batch_size(options), 20 * options.steps
    stream = train_stream(images, labels, batch_size=batch, seed=0, augment="pad4_flip", drop_remainder=True,
                          probability=probability)
    stream = stream.map(normalised, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    def run():
        rows = iter(stream)
        next(rows)  # starts it
        with Stopwatch() as watch:
            for _ in range(batches):
                next(rows)
        return watch.stretch(batches * batch)
    return run
