"""Which images a batch holds: the order of P and the draws from Q, as functions of (seed, step)."""

import itertools

import numpy as np
import tensorflow as tf

from cmo_tf.core.class_counts import check_size
from cmo_tf.pipeline.plan import Draw, stateless_seed
from cmo_tf.pipeline.records import minority_stream


def steps_per_epoch(num_images: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Batches of one epoch, the short last one included unless `drop_remainder`.

    Examples:
        >>> steps_per_epoch(10_847, 128), steps_per_epoch(10_847, 128, drop_remainder=True)
        (85, 84)
    """
    check_size("steps_per_epoch: batch_size", batch_size)
    return num_images // batch_size if drop_remainder else -(-num_images // batch_size)


def order_batches(num_images, batch_size, seed, start_step=0, drop_remainder=False, order=None):
    """Endless dataset of (step, (indices,)), in batches: an epoch is a stateless permutation, or what `order` says.

    `stateless_shuffle` of a table an epoch, not `index_shuffle`, which keeps 8 bits of each seed word for small sets.
    """
    per_epoch = steps_per_epoch(num_images, batch_size, drop_remainder)

    def epoch_batches(epoch):
        if order is None:
            table = tf.random.experimental.stateless_shuffle(
                tf.range(num_images, dtype=tf.int64), stateless_seed(seed, Draw.ORDER, epoch))
        else:
            table = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64, stateful=False), [num_images])

        def batch(i):
            return epoch * per_epoch + i, (table[i * batch_size:(i + 1) * batch_size],)
        return tf.data.Dataset.range(per_epoch).map(batch)

    epochs = tf.data.Dataset.counter(start_step // per_epoch)
    return epochs.flat_map(epoch_batches).skip(start_step % per_epoch)


def index_draw(table, seed):
    """Function (step, rows, kind of draw) -> int64 (rows,) image indices drawn from Q with replacement, O(log C)."""
    cumulative, start = tf.constant(table.cumulative), tf.constant(table.start)
    size, order = tf.constant(table.size), tf.constant(table.order)

    def draw(step, rows, kind):
        uniform = tf.random.stateless_uniform([2, rows], stateless_seed(seed, kind, step), dtype=tf.float64)
        label = tf.searchsorted(cumulative, uniform[0], side="right")
        held = tf.gather(size, label)
        offset = tf.minimum(tf.cast(uniform[1] * tf.cast(held, tf.float64), tf.int64), held - 1)
        return tf.gather(order, tf.gather(start, label) + offset)
    return draw


def record_draws(labels, counts, distribution, method, batch_size, seed, start_step, drop_remainder):
    """Dataset of (indices,): Q from a stream of (index, label), rebuilt for every epoch from (seed, epoch)."""
    per_epoch = steps_per_epoch(len(labels), batch_size, drop_remainder)
    records = tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels.astype(np.int64)))
    by_class = {int(c): np.flatnonzero(labels == c) for c in np.flatnonzero(counts)}

    def reader(label):
        mine = by_class[int(label)]
        return tf.data.Dataset.from_tensor_slices((mine, np.full(len(mine), label, np.int64)))

    drawn = draw_by_epoch(records, tf.TensorSpec([None], tf.int64), per_epoch, batch_size, seed, start_step, counts,
                          method=method, distribution=distribution, shuffle_buffer=len(labels), readers=reader)
    return drawn.map(lambda index: (index,))


def draw_by_epoch(records, signature, per_epoch, batch_size, seed, start_step, counts, **options):
    """Endless dataset of batches of what stands before the label in `records`, drawn from Q by `minority_stream`.

    The stream is made anew for every epoch of `per_epoch` batches, from (seed, epoch), and skipped to `start_step`.
    """
    def draws():
        for epoch in itertools.count(start_step // per_epoch):
            done = start_step % per_epoch if epoch == start_step // per_epoch else 0
            stream = minority_stream(records, counts, seed=seed, epoch=epoch, start=done * batch_size, **options)
            yield from stream.map(lambda picked, _: picked).batch(batch_size).take(per_epoch - done)

    return tf.data.Dataset.from_generator(draws, output_signature=signature)
