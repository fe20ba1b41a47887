"""Causal Norm: its head and moving mean against the official code, and whole runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.methods.causal_norm import CausalNormTraining
from cmo_tf.models.causal import CausalNorm, causal_head, with_causal_head
from cmo_tf.run.timeline import Timeline
from tests.support.method_runs import (
    check_end_to_end,
    check_exact_resume,
    check_state_is_all_in_variables,
    check_two_steps,
    settings,
)

pytestmark = pytest.mark.usefixtures("small_networks")
MIXED = "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0"


@pytest.fixture(scope="module")
def official(golden):
    with golden("causal_norm") as file:
        return dict(file)


def head(official, **options):
    """A network of the head alone, with the official weights."""
    features = keras.Input((32,))
    network = keras.Model(features, CausalNorm(7, name="linear", **options)(features))
    models.load_torch_weights(network, {"linear.weight": official["w/linear.weight"]})
    return network


def close(ours, theirs):
    """Within 1e-5 of the largest magnitude."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_training_logits_and_gradients(official):
    network, features = head(official), tf.constant(official["features"][0])
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = network(features, training=True)
        value = tf.reduce_sum(logits * official["given"])
    close(logits, official["logits_train"])
    weight, by_features = tape.gradient(value, [network.get_layer("linear").kernel, features])
    close(weight, official["grad_weight"].T)
    close(by_features, official["grad_features"])


def test_the_moving_mean_and_what_it_takes_out(official):
    network, mean = head(official), None
    for features, expected in zip(official["features"], official["means"], strict=True):
        network(features)  # inference leaves it alone
        network(features, training=True)
        mean = causal_head(network).mean
        close(mean, expected)
    for alpha in (0.0, 1.5, 3.0):
        other = head(official, alpha=alpha)
        causal_head(other).mean.assign(mean)
        close(other(official["features"][0]), official[f"logits_test_{alpha:g}"])


def test_alpha_zero_or_no_training_gives_the_logits_of_training(official):
    features = official["features"][1]
    fresh, none = head(official), head(official, alpha=0.0)
    before, trained = fresh(features), none(features, training=True)
    np.testing.assert_allclose(before, trained, rtol=1e-6)
    np.testing.assert_allclose(none(features), trained, rtol=1e-6)


def test_float32_under_mixed_precision(official):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = with_causal_head(models.create("resnet8", 7, (8, 8, 1), seed=0), 7, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = network(np.ones((2, 8, 8, 1), "float32"), training=True)
    assert logits.dtype == tf.float32 and causal_head(network).mean.dtype == "float32"


def test_it_is_saved_with_its_mean(official, tmp_path):
    network = head(official, alpha=2.0, heads=4, tau=8.0, gamma=0.5)
    network(official["features"][0], training=True)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(official["features"][1]), network(official["features"][1]))
    assert causal_head(loaded).get_config() == causal_head(network).get_config()


def test_the_head_takes_the_place_of_the_classifier():
    plain = models.create("resnet20_128", 5, (8, 8, 3), seed=1)
    network = with_causal_head(plain, 5, seed=1)
    assert network.get_layer("linear").kernel.shape == (128, 5)
    assert len(network.trainable_variables) == len(plain.trainable_variables) - 1  # no bias
    assert np.abs(network.get_layer("linear").kernel).max() <= 128 ** -0.5
    with pytest.raises(UserError, match="--tde_heads=3"):
        with_causal_head(plain, 5, heads=3)


def test_the_mean_follows_the_rate_on_demand():
    config, data = settings("causal_norm", "--tde_follow_lr", "--lr=0.01", "--warmup_epochs=2", "--model=resnet8")
    timeline, stage = Timeline(config, 5), CausalNormTraining("causal_norm")
    model = stage.classifier(build, config, data, None)
    follow = stage.callbacks(build, config, data, timeline, model)[-1]
    found = []
    for epoch in (0, 1):
        follow.on_epoch_begin(epoch)
        found.append(float(causal_head(model.inner).keep))
    np.testing.assert_allclose(found, [1 - 0.1 * 0.25, 1 - 0.1 * 0.5], rtol=1e-6)


def test_two_replicas_make_one_mean(official):
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)
    if strategy.num_replicas_in_sync != 2:
        pytest.fail("the suite runs with two logical devices")
    with strategy.scope():
        network = head(official)
    halves = iter(np.split(official["features"][0], 2))
    values = strategy.experimental_distribute_values_from_function(lambda context: tf.constant(next(halves)))
    strategy.run(tf.function(lambda x: network(x, training=True)), args=(values,))
    close(strategy.experimental_local_results(causal_head(network).mean.value)[0], official["means"][0])


def test_a_network_of_another_method_is_refused():
    config, data = settings("causal_norm")
    with pytest.raises(UserError, match="--init_from"):
        CausalNormTraining().classifier(build, config, data, models.create("resnet8", 10, (8, 8, 1)))


def test_two_steps_and_evaluation(tmp_path):
    check_two_steps(tmp_path, "causal_norm", *MIXED)


def test_state_is_all_in_variables():
    model, middle, end = check_state_is_all_in_variables("causal_norm", *MIXED)
    name = next(name for name in end if name.endswith("/mean"))
    assert np.abs(end[name] - middle[name]).max() > 0


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "causal_norm", *MIXED)


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["none", "cmo"])
def test_end_to_end(tmp_path, mix):
    # The official alpha for ten classes.
    check_end_to_end(tmp_path, "causal_norm", f"--mix={mix}", "--tde_alpha=1")
