"""LADE's regulariser: its formula, its range, and that replicas get the value and gradient of one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import LongTailClassifier
from cmo_tf.losses import LADE, LOSSES
from cmo_tf.optim import SGD

COUNTS = [50, 20, 7, 2]


def batch(rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, rows), rng.normal(size=(rows, 4)).astype("float32")  # class 3 never comes


def test_regulariser_by_hand():
    (y, z), prior = batch(9), np.array(COUNTS) / sum(COUNTS)
    loss, expected = LADE(COUNTS, alpha=0.3, rho=0.2), 0.0
    for c in range(4):
        log_mean = np.log(np.mean(np.exp(z[:, c].astype("float64")) / 4 / prior[c]))
        own = z[y == c, c].mean() if (y == c).any() else 0.0
        expected += prior[c] * (log_mean + 0.2 * log_mean**2 - own)
    np.testing.assert_allclose(float(loss.regulariser(loss.statistics(y, z))), expected, rtol=1e-5)
    cross_entropy = float(LOSSES["bs"].for_counts(COUNTS)(y, z))
    np.testing.assert_allclose(float(loss(y, z)), cross_entropy + 0.3 * expected, rtol=1e-5)


def test_large_logits_do_not_overflow():
    y, z = batch(8)
    loss = LADE(COUNTS)
    shifted = float(loss.regulariser(loss.statistics(y, z + 500)))
    assert np.isfinite(shifted) and np.isfinite(float(loss(y, z * 1e4)))


def trained(strategy, name, rows, steps=3):
    """Weights after some steps on the same global batches, under a strategy, and the reported loss."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, 2, 2, 1)).astype("float32")
    data = {"image": x, "label": rng.integers(0, 4, rows), "label_q": rng.integers(0, 4, rows),
            "lam": np.full(rows, 0.7, "float32")}
    with strategy.scope():
        network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
        loss = LOSSES[name].for_counts(COUNTS, class_weights=[0.2, 0.5, 1.0, 2.3])
        model = LongTailClassifier(network, mixer=Given())
        model.compile(SGD(0.5), loss)
    stream = tf.data.Dataset.from_tensor_slices(data).batch(rows).repeat()
    history = model.fit(stream, steps_per_epoch=1, epochs=steps, verbose=0).history["loss"]
    return [w.numpy() for w in network.trainable_variables], history


class Given(keras.layers.Layer):
    """A mixer that takes the label sets and shares as they come."""

    needs_q = False

    def call(self, batch, training=None):
        return batch


@pytest.mark.parametrize("name", ["lade", "ce"])
@pytest.mark.parametrize("rows", [8, 7, 1])  # 1: one replica has no rows at all
def test_two_replicas_train_as_one(name, rows):
    devices = [device.name for device in tf.config.list_logical_devices("CPU")][:2]
    assert len(devices) == 2
    one, losses = trained(tf.distribute.get_strategy(), name, rows)
    # A second strategy in one process would use the same collective keys again for other shapes: no collectives here.
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    two, losses_two = trained(strategy, name, rows)
    np.testing.assert_allclose(losses_two, losses, rtol=1e-5)
    for ours, theirs in zip(two, one, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
