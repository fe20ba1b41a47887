"""Several devices in one process: LADE's statistics, batches that do not divide, BatchNorm over all replicas."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import strategies
from cmo_tf.losses import LADE, CrossEntropy
from cmo_tf.run import stages
from tests.support.small_models import COUNTS, assert_close, small_classifier, small_network, small_stream, trained

MIRRORED = Config(strategy="mirrored", batch_size=16)


@pytest.fixture(scope="module")
def mirrored():
    assert len(tf.config.list_logical_devices("CPU")) == 2, "tests/conftest.py sets up two"
    return strategies.strategy(MIRRORED)


def test_lade_of_two_devices_equals_one(mirrored):
    """Its regulariser couples all rows: rows, images and logits of each class, and a log-sum-exp, over replicas."""
    found = []
    for config in (Config(), MIRRORED):
        with strategies.strategy(config).scope():
            model = small_classifier(LADE(COUNTS, alpha=1.0, rho=0.5))
        found.append(trained(model, strategies.per_replica(config, small_stream())))
    assert_close(*found)


@pytest.mark.parametrize("norm", [False, True])
def test_a_replica_without_rows(mirrored, norm):
    """37 images in batches of 12 leave one row for two replicas: the other has it too, and it counts once. BatchNorm
    of both sees that row, as one device does."""
    found = []
    for config in (Config(), MIRRORED):
        with strategies.strategy(config).scope():
            model = small_classifier(LADE(COUNTS), small_network(norm=norm))
        stream = small_stream(batch_size=12, start_step=3 if norm else 2)
        found.append(trained(model, strategies.per_replica(config, stream), steps=1 if norm else 2))
    assert_close(*found)
    assert all(np.isfinite(v).all() for v in found[1][1])


def test_rows_of_the_replicas(mirrored):
    """Each replica's rows in order, all of them once; a row that only fills has `real` 0."""
    config = Config(strategy="mirrored", batch_size=12)
    whole = [b["index"].numpy() for b in small_stream(batch_size=12).take(4)]
    stream = iter(strategies.per_replica(config, small_stream(batch_size=12)))
    for indices in whole:
        batch = next(stream)
        parts = [mirrored.experimental_local_results(batch[name]) for name in ("index", "real")]
        rows = np.concatenate([index.numpy()[real.numpy() > 0] for index, real in zip(*parts, strict=True)])
        np.testing.assert_array_equal(rows, indices)
        sizes = [len(index) for index in parts[0]]
        assert sizes == ([1, 1] if len(indices) == 1 else [len(indices) // 2, -(-len(indices) // 2)])


def test_sync_bn_makes_two_devices_one(mirrored):
    found = []
    for config in (Config(), Config(strategy="mirrored", sync_bn=True)):
        with strategies.strategy(config).scope():
            network = small_network(norm=True)
            if config.sync_bn:
                assert strategies.synchronise(network) is network
            model = small_classifier(CrossEntropy(num_classes=5), network)
        found.append(trained(model, strategies.per_replica(config, small_stream())))
    assert_close(*found)


def test_every_layer_of_nested_networks_is_synchronised():
    inner = small_network(norm=True)
    image = keras.Input((6, 6, 3))
    strategies.synchronise(keras.Model(image, inner(image)))
    norms = [layer for layer in inner.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [norm.synchronized for norm in norms] == [True]


def test_running_statistics_of_the_first_replica(mirrored):
    """They are what is saved; `settle` gives them to all, for stages that train on them."""
    with mirrored.scope():
        model = small_classifier(CrossEntropy(num_classes=5), small_network(norm=True))
    trained(model, strategies.per_replica(MIRRORED, small_stream()))
    norm = next(layer for layer in model.inner.layers if isinstance(layer, keras.layers.BatchNormalization))

    def means():
        return [v.numpy() for v in mirrored.experimental_local_results(norm.moving_mean.value)]
    before = means()
    assert (before[0] != before[1]).any()
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before[0])
    strategies.settle(MIRRORED, model.network)
    for after in means():
        np.testing.assert_array_equal(after, before[0])


def test_refusals(mirrored):
    with pytest.raises(UserError, match="--batch_size=1: is less than a row for each of 2 replicas"):
        stages.legs(Config(strategy="mirrored", batch_size=1), 37)
    with pytest.raises(UserError, match="--sync_bn: the last batch of an epoch has 1 images for 2 replicas"):
        stages.legs(Config(strategy="mirrored", batch_size=12, sync_bn=True), 37)
    stages.legs(Config(strategy="mirrored", batch_size=12, sync_bn=True, drop_remainder=True), 37)
    stages.legs(Config(strategy="mirrored", batch_size=12), 37)
    with pytest.raises(UserError, match="--num_devices=3: this machine has 2"):
        strategies.strategy(Config(strategy="mirrored", num_devices=3))
    assert strategies.per_replica(types.SimpleNamespace(strategy="none"), "as it is") == "as it is"
