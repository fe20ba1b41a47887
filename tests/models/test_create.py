"""What `models.create` can add to any network: features beside the logits, initial biases of the head."""

import keras
import numpy as np
import pytest

from cmo_tf import models
from cmo_tf.core.errors import UserError

X = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("head", ["linear", "normed"])
def test_features_are_what_the_head_takes(head):
    plain, both = (models.create("resnet20", 5, (8, 8, 3), head, seed=1, features=f) for f in (False, True))
    outputs = both(X)
    assert set(outputs) == {"logits", "features"} and both.name == plain.name
    np.testing.assert_array_equal(outputs["logits"], plain(X))
    np.testing.assert_allclose(plain.layers[-1](outputs["features"]), plain(X), rtol=1e-6)
    assert (outputs["features"].numpy() >= 0).all()


def test_head_bias():
    network = models.create("resnet20", 5, (8, 8, 3), seed=1, head_bias=-1.5)
    np.testing.assert_array_equal(network.get_layer("linear").bias, [-1.5] * 5)
    with pytest.raises(UserError, match="no bias"):
        models.create("resnet20", 5, (8, 8, 3), "normed", head_bias=0.0)


def test_save_with_features(tmp_path):
    network = models.create("resnet20", 5, (8, 8, 3), "normed", features=True)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(X)["logits"], network(X)["logits"], rtol=1e-6)
