"""What the sub-benchmarks work on: images of CIFAR-10-LT's shape and counts, JPEG files, networks."""

import os

import numpy as np


def counts(options):
    """Class counts of a long-tailed set of ten classes, ratio 100, with about `options.images` images."""
    from cmo_tf import long_tail
    return np.asarray(long_tail.class_counts(10, max(round(options.images * 5000 / 12406), 100), 100))


def in_memory(options):
    """(images uint8 (N,32,32,3) of random pixels, labels)."""
    labels = np.repeat(np.arange(10), counts(options))
    return np.random.RandomState(0).randint(0, 256, (len(labels), 32, 32, 3), np.uint8), labels


def jpegs(options, folder, number=256):
    """(paths (N,), labels) of a set as `in_memory`; `number` different files of 48 to 96 pixels, smooth noise."""
    from PIL import Image
    random, paths = np.random.RandomState(0), []
    for k in range(number):
        size = tuple(random.randint(48, 97, 2))
        pixels = random.randint(0, 256, (12, 12, 3), np.uint8)
        paths.append(os.path.join(folder, f"{k}.jpg"))
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    labels = np.repeat(np.arange(10), counts(options))
    return np.array(paths)[np.arange(len(labels)) % number], labels


def classifier(options, mixer=None, **compiled):
    """A compiled LongTailClassifier of the network under test, with SGD and cross-entropy."""
    import keras

    from cmo_tf import LongTailClassifier, models
    from cmo_tf.losses import CrossEntropy
    from cmo_tf.optim import SGD
    network = models.create(options.model, 10, (32, 32, 3), seed=0)
    made = LongTailClassifier(network, mixer=mixer, preprocess=keras.layers.Rescaling(1 / 127.5, -1.0))
    made.compile(SGD(0.01, l2=2e-4), CrossEntropy(), **{"jit_compile": False, "auto_scale_loss": False, **compiled})
    made.optimizer.build(made.trainable_variables)
    return made


def batch_size(options):
    """The batch, or the whole set where that is smaller."""
    return min(options.batch_size, int(counts(options).sum()))


def training_flops(network) -> float:
    """Floating point operations of one image's forward and backward pass: convolutions and dense layers.

    Each multiplies three times: forward, gradient of its input, gradient of its kernel; the first layer's input needs
    no gradient. A multiplication with its addition counts as two, as for the matrix product it is compared with.
    """
    total, first = 0.0, True
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        places = np.prod(layer.output.shape[1:-1], dtype=float)
        total += 2.0 * np.prod(kernel.shape, dtype=float) * places * (2 if first else 3)
        first = False
    return total
