"""DRW and MixWindow: pure functions of the epoch that act on traced models."""

import keras
import numpy as np
import pytest

from cmo_tf.callbacks import DRW, MixWindow
from cmo_tf.core.class_counts import effective_number_weights
from cmo_tf.core.errors import UserError
from cmo_tf.losses import LDAM, CrossEntropy, Mixed
from cmo_tf.mixing.cmo import CMO

COUNTS = [50, 20, 7, 2]
X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 4


def compiled(loss):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


@pytest.mark.parametrize("wrap", [lambda loss: loss, Mixed])
@pytest.mark.parametrize("make", [CrossEntropy, lambda: LDAM(COUNTS)])
def test_weights_switch_at_the_epoch(make, wrap):
    loss = wrap(make())
    model = compiled(loss)
    losses = model.fit(X, Y, epochs=4, batch_size=8, verbose=0, callbacks=[DRW(COUNTS, 2)]).history["loss"]
    logits, plain = model.predict(X, verbose=0), make()
    before = float(plain(Y, logits))
    plain.build(4)
    plain.class_weights.assign(effective_number_weights(COUNTS))
    np.testing.assert_allclose(losses, [before, before, *[float(plain(Y, logits))] * 2], rtol=1e-5)
    np.testing.assert_allclose(loss.class_weights.numpy(), effective_number_weights(COUNTS), rtol=1e-6)


def test_a_resumed_run_needs_no_state():
    model = compiled(CrossEntropy())
    model.fit(X, Y, initial_epoch=3, epochs=4, verbose=0, callbacks=[DRW(COUNTS, 2)])
    np.testing.assert_allclose(model.loss.class_weights.numpy(), effective_number_weights(COUNTS), rtol=1e-6)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[DRW(COUNTS, 2)])
    np.testing.assert_array_equal(model.loss.class_weights.numpy(), np.ones(4))


def test_published_weights():
    drw = DRW([int(500 * 0.01 ** (k / 99)) for k in range(100)], 160)
    assert (drw.weights(159) == 1).all()
    np.testing.assert_allclose(drw.weights(160)[[0, 50, 99]], [0.0449, 0.4571, 4.3783], atol=5e-5)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), "SparseCategoricalCrossentropy"),
        ("sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
        (None, "None"),
    ],
)
def test_other_losses_are_refused_by_name(loss, name):
    model = compiled(loss)
    with pytest.raises(UserError, match=f"DRW.*{name}"):
        model.fit(X, Y, verbose=0, callbacks=[DRW(COUNTS, 2)])


def test_other_number_of_classes_is_refused():
    with pytest.raises(UserError, match="4 classes.*3"):
        compiled(LDAM(COUNTS)).fit(X, Y, verbose=0, callbacks=[DRW([3, 2, 1], 2)])


class Mixer(keras.layers.Layer):
    """Adds 1 while it is active: what MixWindow needs of a mixing layer."""

    def __init__(self):
        super().__init__()
        self.active = self.add_weight((), initializer="ones", trainable=False, name="active")

    def call(self, x):
        return x + self.active


def outputs_by_epoch(model, callback, epochs):
    """The model's mean output in each epoch (target 0, mean absolute error of positive outputs)."""
    model.compile(keras.optimizers.SGD(0.0), "mae")
    return model.fit(np.ones((4, 1)), np.zeros((4, 1)), epochs=epochs, verbose=0, callbacks=[callback]).history["loss"]


@pytest.mark.parametrize("nested", [False, True])
def test_mix_window_switches_a_traced_layer(nested):
    model = keras.Sequential([keras.Input((1,)), Mixer()])
    if nested:
        model = keras.Sequential([keras.Input((1,)), model])
    assert outputs_by_epoch(model, MixWindow(1, 3), 5) == [1, 2, 2, 1, 1]


def test_mix_window_of_a_mixer_attribute_and_of_a_given_layer():
    mixer, model = Mixer(), keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    outputs_by_epoch(model, MixWindow(0, 1, layer=mixer), 2)
    assert float(mixer.active) == 0
    model.mixer = mixer
    outputs_by_epoch(model, MixWindow(1, 2), 2)
    assert float(mixer.active) == 1


def test_mix_window_refusals():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    with pytest.raises(UserError, match="MixWindow.*no mixing layer"):
        outputs_by_epoch(model, MixWindow(0, 1), 1)
    with pytest.raises(UserError, match="no mixing layer"):
        outputs_by_epoch(model, MixWindow(0, 1, layer=keras.layers.Identity()), 1)
    with pytest.raises(UserError, match="start 3"):
        MixWindow(3, 2)


def test_the_window_finds_a_mixing_layer_inside_a_layer_of_the_users():
    class Front(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mixing = CMO(probability=1.0)

        def call(self, x):
            return x
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Flatten()(Front()(inputs)))
    window = MixWindow(1, 2)
    window.set_model(model)
    window.on_epoch_begin(0)
    assert float(model.layers[1].mixing.active) == 0
    window.on_epoch_begin(1)
    assert float(model.layers[1].mixing.active) == 1
