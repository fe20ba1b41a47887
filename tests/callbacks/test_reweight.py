"""Every kind of `--reweight`, and the callback that sets class weights from an epoch on."""

import keras
import numpy as np
import pytest

from cmo_tf.callbacks import DRW, WEIGHTINGS, Reweight
from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy
from cmo_tf.run.timeline import Timeline

COUNTS = [100, 25, 4, 1]
EXPECTED = {
    "none": [1.0, 1.0, 1.0, 1.0],
    "inverse": 4 * np.array([1, 4, 25, 100]) / 130,
    "sqrt": 4 * np.array([1, 2, 5, 10]) / 18,
}


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_weights_of_every_kind(name):
    kind = WEIGHTINGS[name]
    weights = kind.weights(COUNTS, 0.999)
    assert weights.shape == (4,) and weights.sum() == pytest.approx(4) and kind.summary
    assert (np.diff(weights) >= 0).all()
    if name in EXPECTED:
        np.testing.assert_allclose(weights, EXPECTED[name])
    else:
        np.testing.assert_allclose(weights, DRW(COUNTS, 0, beta=0.999).weights(0))
    with_empty = kind.weights([100, 25, 4, 0], 0.999)
    assert np.isfinite(with_empty).all() and with_empty.sum() == pytest.approx(4)
    assert name == "none" or with_empty[3] == 0


@pytest.mark.parametrize(("flags", "start"), [
    (dict(reweight="drw"), 8), (dict(reweight="cb"), 0), (dict(reweight="inverse"), 0), (dict(reweight="none"), None),
    (dict(reweight="cb", reweight_start=0.5), 5), (dict(reweight="sqrt", reweight_start=3.0), 3),
    (dict(reweight="drw", reweight_start=0.0), 0),
])
def test_start_is_the_kinds_own_unless_it_is_given(flags, start):
    timeline = Timeline(Config(epochs=10, **flags), 5)
    assert timeline.reweight_start == start
    assert [timeline.course(e)[1] for e in range(10)] == [start is not None and e >= start for e in range(10)]


def test_sets_given_weights_at_the_epoch():
    x, y = np.ones((4, 3), "float32"), np.arange(4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile("sgd", CrossEntropy())
    callback = Reweight([0.1, 0.2, 0.3, 3.4], start_epoch=1)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.loss.class_weights, np.ones(4))
    model.fit(x, y, initial_epoch=1, epochs=2, verbose=0, callbacks=[callback])
    np.testing.assert_allclose(model.loss.class_weights, [0.1, 0.2, 0.3, 3.4])
    model.compile("sgd", "mse")
    with pytest.raises(UserError, match="Reweight.*mse"):
        model.fit(x, y, verbose=0, callbacks=[callback])
