"""Fused batch normalisation against Keras' own: outputs, gradients, running statistics, and when it steps aside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import LongTailClassifier
from cmo_tf.classifier import fused

IMAGES = np.random.RandomState(0).normal(2.0, 3.0, (5, 4, 6, 3)).astype(np.float32)


def network(**options):
    """One BatchNormalization with weights that are not their initial ones."""
    image = keras.Input((4, 6, 3))
    layer = keras.layers.BatchNormalization(**{"momentum": 0.9, "epsilon": 1e-5, **options})
    made = keras.Model(image, layer(image))
    made.set_weights([np.linspace(0.5, 2.0, w.shape[0]).astype(np.float32) for w in made.get_weights()])
    return made


def results(made, training=True, images=IMAGES):
    """Output, gradients of a sum of cubes, and weights after the call."""
    with tf.GradientTape() as tape:
        inputs = tf.constant(images)
        tape.watch(inputs)
        outputs = made(inputs, training=training)
        value = tf.reduce_sum(outputs**3)
    return [outputs, *tape.gradient(value, [inputs, *made.trainable_variables]), *made.get_weights()]


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1]])
def test_fused_is_batch_normalisation(images):
    plain, ours = network(), network()
    fused.fuse(ours)
    assert "fused" in traced(ours).lower()
    for expected, found in zip(results(plain, images=images), results(ours, images=images), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("options", [dict(synchronized=True), dict(dtype="mixed_bfloat16"), dict(scale=False),
                                     dict(axis=2)])
def test_everything_else_is_left_to_keras(options):
    plain, ours = network(**options), network(**options)
    fused.fuse(ours)
    assert "fused" not in traced(ours).lower()
    for expected, found in zip(results(plain), results(ours), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_inference_is_keras_own_to_the_bit():
    plain, ours = network(), network()
    fused.fuse(ours)
    for expected, found in zip(results(plain, training=False), results(ours, training=False), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_classifier_fuses_nested_networks_and_saves_keras_own_layers(tmp_path):
    inner = network()
    outer = keras.Sequential([keras.Input((4, 6, 3)), inner, keras.layers.Flatten(), keras.layers.Dense(2)])
    model = LongTailClassifier(outer)
    assert "fused" in traced(model.network).lower()
    model.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert "fused" not in traced(loaded).lower()
    np.testing.assert_array_equal(loaded(IMAGES), model.network(IMAGES))


def traced(made):
    """Names of the operations of a training call."""
    graph = tf.function(lambda x: made(x, training=True)).get_concrete_function(tf.TensorSpec([None, 4, 6, 3])).graph
    inside = [op.type for f in graph._functions.values() for op in f.graph.get_operations()] if graph._functions else []
    return " ".join([op.type for op in graph.get_operations()] + inside)
