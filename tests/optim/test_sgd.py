"""SGD: the PyTorch recurrence, by golden vector and by hand, and what surrounds it in Keras."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.optim import SGD

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def recurrence(w, gradients, rates, momentum, l2, nesterov):
    """The definition, in float64."""
    v, trace = np.zeros_like(w), []
    for g, lr in zip(gradients, rates, strict=True):
        g = g + l2 * w
        v = momentum * v + g
        w = w - lr * (g + momentum * v if nesterov else v)
        trace.append(w)
    return np.array(trace)


def run(optimizer, initial, gradients, rates, jit=False):
    variable = keras.Variable(initial, dtype="float32")
    optimizer.build([variable])

    @tf.function(jit_compile=jit)
    def step(gradient):
        optimizer.apply([gradient])

    trace = []
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate = rate
        step(tf.constant(gradient, tf.float32))
        trace.append(variable.numpy())
    return np.array(trace)


@pytest.mark.parametrize("jit", [False, True])
def test_golden(jit):
    with np.load(GOLDEN / "sgd.npz", allow_pickle=False) as golden:
        optimizer = SGD(0.1, momentum=float(golden["momentum"]), l2=float(golden["l2"]))
        trace = run(optimizer, golden["initial"], golden["gradients"], golden["learning_rates"], jit)
        np.testing.assert_allclose(trace, golden["weights"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_recurrence(momentum, l2, nesterov):
    rng = np.random.default_rng(0)
    initial, gradients, rates = rng.normal(size=(4, 3)), rng.normal(size=(6, 4, 3)), [0.1] * 3 + [0.001] * 3
    trace = run(SGD(0.1, momentum, l2, nesterov), initial, gradients, rates)
    np.testing.assert_allclose(trace, recurrence(initial, gradients, rates, momentum, l2, nesterov), atol=1e-6)


def test_l2_decays_every_trainable():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    optimizer = SGD(0.5, momentum=0.9, l2=0.1)
    optimizer.build(model.trainable_variables)
    before = [variable.numpy() + 1 for variable in model.trainable_variables]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    optimizer.apply([tf.zeros(variable.shape) for variable in model.trainable_variables])
    assert len(before) == 4
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), value * 0.95, rtol=1e-6)


def test_serialises_with_state(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(SGD(0.1, momentum=0.8, l2=0.01, nesterov=True, clipnorm=1.0, name="ours"), "mse")
    x, y = np.ones((4, 2)), np.zeros(4)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is SGD and loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], loaded.get_weights()[0])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(1, dtype="float32")])
        model.compile(SGD(0.01, l2=0.1), "mse")
        before = model.get_weights()
        # With float16 the dynamic loss scale starts high, and Keras skips the steps that overflow.
        model.fit(np.ones((4, 2)), np.ones(4), epochs=12, verbose=0)
        assert all(variable.dtype == "float32" and np.isfinite(variable.numpy()).all() for variable in model.weights)
        assert not np.array_equal(before[0], model.get_weights()[0])
    finally:
        keras.config.set_dtype_policy("float32")


def test_loss_scale_does_not_scale_l2():
    variables = [keras.Variable(np.ones(3), dtype="float32") for _ in range(2)]
    for variable, scale in zip(variables, (None, 1024.0), strict=True):
        optimizer = SGD(0.1, l2=0.1, loss_scale_factor=scale)
        optimizer.build([variable])
        optimizer.apply([tf.ones(3) * (scale or 1.0)])
    np.testing.assert_allclose(*[variable.numpy() for variable in variables], rtol=1e-6)


def test_clipping_comes_before_l2():
    variable = keras.Variable(np.full(1, 10.0), dtype="float32")
    optimizer = SGD(1.0, momentum=0.0, l2=0.1, clipnorm=1.0)
    optimizer.build([variable])
    optimizer.apply([tf.constant([100.0])])
    np.testing.assert_allclose(variable.numpy(), 10 - (1 + 0.1 * 10), rtol=1e-6)


def test_under_a_strategy():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        variable = keras.Variable(np.ones(3), dtype="float32")
        optimizer = SGD(0.1, momentum=0.9, l2=0.5)
        optimizer.build([variable])

    @tf.function
    def steps():
        strategy.run(lambda: optimizer.apply([tf.ones(3)]))

    for _ in range(2):
        steps()
    expected = recurrence(np.ones(3), np.ones((2, 3)), [0.1, 0.1], 0.9, 0.5, False)[-1]
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{"l2": 0.1, "weight_decay": 0.1}, {"momentum": 2}, {"l2": -1}])
def test_refused(options):
    with pytest.raises(UserError, match="SGD"):
        SGD(0.1, **options)


def test_decoupled_decay_alone_is_keras_own():
    variable = keras.Variable(np.ones(1), dtype="float32")
    optimizer = SGD(0.5, momentum=0.9, weight_decay=0.1)
    optimizer.build([variable])
    optimizer.apply([tf.zeros(1)])
    np.testing.assert_allclose(variable.numpy(), 0.95, rtol=1e-6)
