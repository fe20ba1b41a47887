"""Several views of each picture, in order: the picture as it is, then augmented by draws that belong to no run."""

import tensorflow as tf

from cmo_tf.augment.policies import center_crop
from cmo_tf.pipeline.fetch import Fetch
from cmo_tf.pipeline.plan import Draw


def view_batches(images, labels, *, size, views=1, augment=None, decode=None, batch_size=64, start=0):
    """One pass over pictures from row `start` on, in batches of one size.

    Args:
        images, labels, decode: as those of `train_stream`.
        size: (height, width) of all views.
        views: V, at least 1.
        augment: policy of all views but the first, which gives that size.
        batch_size: B; rows behind the last one repeat it.
        start: a multiple of B.

    Returns:
        tf.data.Dataset of tuples of V float32 (B, height, width, channels). They are a function of the row alone.
    """
    images = tf.convert_to_tensor(images)
    plain = Fetch(images, decode, None, 0)
    others = [Fetch(images, decode, augment, view, labels) for view in range(1, views)]
    rows_of_batch = tf.range(batch_size, dtype=tf.int64)
    size_of_batch = tf.constant(batch_size, tf.int64)

    def read(first):
        rows, number = tf.minimum(first + rows_of_batch, len(labels) - 1), first // batch_size
        pictures = [center_crop(plain(rows, number, size_of_batch, rows_of_batch, Draw.AUGMENT), size)]
        pictures += [fetch(rows, number, size_of_batch, rows_of_batch, Draw.AUGMENT) for fetch in others]
        return tuple(tf.ensure_shape(tf.cast(pixels, tf.float32), (batch_size, *size, pixels.shape[-1]))
                     for pixels in pictures)
    firsts = tf.data.Dataset.range(start, len(labels), batch_size)
    return firsts.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
