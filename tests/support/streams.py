"""Small sets and streams of them, as numpy, for the tests of the pipeline."""

import numpy as np

from cmo_tf.pipeline import train_stream

COUNTS = [16, 10, 6, 4, 1]


def small_set(counts=COUNTS, height=6, width=8, dtype="uint8"):
    """(images, labels): distinct random images that are not square, classes mixed."""
    random = np.random.RandomState(0)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    images = random.randint(0, 256, (len(labels), height, width, 3))
    return (images / 255 if dtype == "float32" else images).astype(dtype), labels


def batches(number, images=None, labels=None, **options):
    """The first batches of a train_stream, as dicts of numpy arrays."""
    if images is None:
        images, labels = small_set()
    stream = train_stream(images, labels, **{"batch_size": 8, "seed": 7, **options})
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(number)]


def column(stream, name):
    """One column of a list of batches as one array."""
    return np.concatenate([batch[name] for batch in stream])


def assert_same(left, right):
    """Two lists of batches hold the same bits."""
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def area(box):
    """Pixels of boxes (B,4)."""
    return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
