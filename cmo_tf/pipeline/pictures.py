"""What `decode=` of the streams is for pictures that come encoded and in varied sizes: files, or records of a store."""

import numpy as np
import tensorflow as tf

from cmo_tf.augment import encoded as encoded_pictures

EXAMPLE = {"image": tf.io.FixedLenFeature([], tf.string)}


class Pictures:
    """Reads encoded pictures.

    Args:
        side: of the centre squares that evaluation, and augmentations that cannot read, begin with.
        store: a `datasets.record_store.RecordStore`, and `images` are row numbers in it; None: they are paths, or with
            `in_memory` the encoded pictures themselves.

    Called with one of `images` it gives its centre square, uint8 (side, side, 3).
    """

    def __init__(self, side, store=None, in_memory=False):
        self.side, self.store, self.in_memory = side, store, in_memory

    def __call__(self, image):
        return self.squares(self.encoded(image[None]))[0]

    def encoded(self, images):
        """The encoded pictures (b,) of some of `images` (b,)."""
        if self.in_memory:
            return images
        if self.store is None:
            return tf.map_fn(tf.io.read_file, images, fn_output_signature=tf.string, parallel_iterations=32)
        # Rows are read by this process: no other can run such a graph.
        records = tf.numpy_function(self._read, [images], tf.string, stateful=False)
        return encoded_of(tf.ensure_shape(records, images.shape))

    def squares(self, encoded):
        """Centre squares uint8 (b, side, side, 3) of encoded pictures (b,)."""
        return encoded_pictures.squares(encoded, self.side)

    def encoded_records(self, records):
        """Encoded pictures (b,) of records as the store reads them, as a list of bytes."""
        return encoded_of(tf.constant(records)).numpy().tolist()

    def _read(self, rows):
        return np.array(self.store.read(rows), dtype=object)


def encoded_of(records):
    """Encoded pictures (b,) of serialised tf.train.Example records (b,)."""
    return tf.io.parse_example(records, EXAMPLE)["image"]
