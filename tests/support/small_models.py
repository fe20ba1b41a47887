"""Small networks and classifiers for the tests of training steps."""

import keras
import numpy as np

from cmo_tf import CMO, LongTailClassifier
from cmo_tf.models.heads import NormedLinear
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from tests.support.streams import small_set

COUNTS = [16, 10, 6, 4, 1]
WEIGHTS = [0.2, 0.5, 1.0, 1.3, 2.0]
IMAGES, LABELS = small_set(COUNTS, 6, 6)


def small_network(head="linear", norm=False, classes=5, seed=0):
    """Convolution, pooling and a head, with or without BatchNorm."""
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(seed))(image)
    x = keras.layers.BatchNormalization(momentum=0.9)(x) if norm else x
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(keras.layers.Activation("relu")(x))
    start = keras.initializers.GlorotUniform(seed + 1)
    last = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32")
    return keras.Model(image, (NormedLinear(classes, seed=seed) if head == "normed" else last)(x))


def small_classifier(loss, network=None, optimizer=None, jit_compile=False, **options):
    """A compiled classifier that mixes by CMO."""
    scale = keras.layers.Rescaling(1 / 255, offset=-0.5)
    model = LongTailClassifier(network or small_network(loss.head), CMO(), scale, **options)
    model.compile(optimizer or SGD(0.1, momentum=0.9, l2=1e-3), loss, jit_compile=jit_compile, auto_scale_loss=False)
    model.optimizer.build(model.trainable_variables)
    return model


def small_stream(**options):
    """Mixed batches of 16, 16 and 5 rows an epoch."""
    return train_stream(IMAGES, LABELS, **{"batch_size": 16, "seed": 3, "probability": 1.0, **options})


def trained(model, stream, steps=3, **options):
    """(losses, values of the network's variables) after some steps of an epoch each."""
    losses = model.fit(stream, steps_per_epoch=1, epochs=steps, verbose=0, **options).history["loss"]
    return losses, [v.numpy() for v in model.network.variables]


def assert_close(one, other, atol=1e-5, message=""):
    """Losses and weights of two `trained` agree."""
    np.testing.assert_allclose(other[0], one[0], rtol=1e-5, err_msg=message)
    for ours, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=atol, err_msg=message)
