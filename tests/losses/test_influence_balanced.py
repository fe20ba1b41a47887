"""The influence-balanced loss in training: features, phases, and what is exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import LongTailClassifier, models
from cmo_tf.callbacks import LossPhase
from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy, InfluenceBalanced

X = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
Y = np.arange(8) % 4


def classifier(loss, learning_rate=0.0, **options):
    model = LongTailClassifier(models.create("resnet20", 4, (8, 8, 3), seed=0, **options))
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model


def test_by_hand():
    logits = np.array([[1.0, 0.0], [0.0, 3.0]], "float32")
    features = np.array([[1.0, 0.0, 2.0], [0.5, 0.5, 0.0]], "float32")
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    influence = np.array([2 * p[0, 1] * 3, 2 * p[1, 0] * 1])
    expected = np.mean([1, 3] * -np.log(p[[0, 1], [0, 1]]) * 10 / (influence + 0.001))
    loss = InfluenceBalanced(alpha=10.0, class_weights=[1.0, 3.0])
    outputs = {"logits": logits, "features": features}
    np.testing.assert_allclose(float(loss([0, 1], outputs)), expected, rtol=1e-5)
    loss.active.assign(0.0)
    np.testing.assert_allclose(float(loss([0, 1], outputs)), float(CrossEntropy()([0, 1], logits)), rtol=1e-6)


def test_phase_switches_after_tracing_and_needs_no_state():
    model = classifier(InfluenceBalanced(), features=True)
    history = model.fit(X, Y, batch_size=8, epochs=4, verbose=0, callbacks=[LossPhase(2)]).history["loss"]
    outputs = model.network(X, training=True)
    plain, loss = CrossEntropy()(Y, outputs), InfluenceBalanced()(Y, outputs)
    np.testing.assert_allclose(history, [float(plain)] * 2 + [float(loss)] * 2, rtol=1e-5)
    resumed = classifier(InfluenceBalanced(), features=True)
    resumed.fit(X, Y, batch_size=8, initial_epoch=1, epochs=2, verbose=0, callbacks=[LossPhase(2)])
    assert float(resumed.loss.active) == 0


def test_gradients_reach_the_network_through_the_features_too():
    model, slopes = classifier(InfluenceBalanced(), features=True), []
    for stop in (tf.identity, tf.stop_gradient):
        with tf.GradientTape() as tape:
            outputs = model.network(X, training=True)
            value = model.loss(Y, {**outputs, "features": stop(outputs["features"])})
        slopes.append(tape.gradient(value, model.trainable_variables)[0].numpy())
    assert np.abs(slopes[0] - slopes[1]).max() > 1e-3 * np.abs(slopes[1]).max()


def test_evaluates_predicts_and_saves(tmp_path):
    model = classifier(InfluenceBalanced(), features=True)
    model.compile("sgd", InfluenceBalanced(), metrics=["accuracy"])
    assert 0 <= model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"] <= 1
    model.network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    outputs = loaded(X, training=False)
    assert outputs["logits"].shape == (8, 4) and outputs["features"].shape == (8, 64)
    np.testing.assert_allclose(outputs["logits"], model.predict(X, verbose=0)["logits"], rtol=1e-4, atol=1e-5)


def test_a_network_without_features_is_refused():
    with pytest.raises(UserError, match="features=True"):
        classifier(InfluenceBalanced()).fit(X, Y, verbose=0)


def test_a_loss_without_phases_is_refused():
    with pytest.raises(UserError, match="LossPhase.*CrossEntropy"):
        classifier(CrossEntropy()).fit(X, Y, verbose=0, callbacks=[LossPhase(1)])
