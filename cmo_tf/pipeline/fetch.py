"""Reading images: the augmented rows of a training batch, and the plain ones of an evaluation."""

import numpy as np
import tensorflow as tf

from cmo_tf.augment.compose import can_read, read, run
from cmo_tf.augment.policies import center_crop
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline.plan import Draw, stateless_seed


def decode_all(decode, paths):
    """Images (b,H,W,C) of paths (b,), decoded side by side."""
    if hasattr(decode, "encoded"):
        return decode.squares(decode.encoded(paths))
    spec = tf.data.Dataset.from_tensors(paths[0]).map(decode).element_spec
    return tf.map_fn(decode, paths, fn_output_signature=spec, parallel_iterations=16)


class Fetch:
    """Reads and augments the rows of one worker."""

    def __init__(self, images, decode, augment, seed, labels=None):
        self.images, self.decode, self.augment, self.seed = tf.convert_to_tensor(images), decode, augment, seed
        self.labels = None if labels is None else tf.constant(labels, tf.int32)
        if decode is None and self.images.shape.rank != 4:
            raise UserError(f"images: (N, height, width, channels) is needed, got shape {tuple(self.images.shape)}; "
                            "paths need decode=")
        # The size that mixing sees is known before the first batch: boxes are drawn in it.
        try:
            spec = tf.data.Dataset.range(1).map(
                lambda i: self(i[None], i, tf.constant(1, tf.int64), i[None], Draw.AUGMENT))
        except Exception as error:  # AutoGraph hides a UserError of the augmentation or of `decode` in one of its own.
            raise (error.__context__ if isinstance(error.__context__, UserError) else error) from None
        self.size = tuple(spec.element_spec.shape[1:3])

    def __call__(self, index, step, rows, places, kind, encoded=None):
        """Images (b,H,W,C) of `index`, which stand at `places` (b,) of a global batch of `rows`.

        `encoded` (b,) are the encoded pictures themselves, where a stream of records has brought them along.
        """
        if encoded is None and hasattr(self.decode, "encoded"):
            encoded = self.decode.encoded(tf.gather(self.images, index))
        if self.augment is None:
            return self._plain(index, encoded)
        drawn = self.augment.draw(stateless_seed(self.seed, kind, step), rows)
        drawn = {name: tf.gather(column, places) for name, column in drawn.items()}
        labels = None if self.labels is None else tf.gather(self.labels, index)
        if encoded is not None and can_read(self.augment):
            return read(self.augment, encoded, drawn, labels)
        return run(self.augment, self._plain(index, encoded), drawn, labels)

    def _plain(self, index, encoded):
        if encoded is not None:
            return self.decode.squares(encoded)
        images = tf.gather(self.images, index)
        return images if self.decode is None else decode_all(self.decode, images)


def eval_batches(images, labels=None, *, batch_size=256, size=None, decode=None):
    """One pass in order: batches of raw images, centre-cropped to `size`, with labels where given.

    Args:
        images: (N,H,W,C) array, or (N,) paths or row numbers with `decode`, which an array does without.
        labels: (N,) integers or None.
        size: (height, width) or None, which leaves the images as they are.
    """
    encoded = decode is not None and len(images.shape) == 1

    def plain(image):
        return center_crop(decode_all(decode, image) if encoded else image, size)

    data = tf.data.Dataset.from_tensor_slices(images).batch(batch_size).map(plain, num_parallel_calls=tf.data.AUTOTUNE)
    if labels is not None:
        labels = tf.data.Dataset.from_tensor_slices(np.asarray(labels).astype(np.int32)).batch(batch_size)
        data = tf.data.Dataset.zip(data, labels)
    return data.prefetch(tf.data.AUTOTUNE)
