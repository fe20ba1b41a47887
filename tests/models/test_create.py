"""What `models.create` can add to any network: features beside the logits, initial biases of the head."""

import keras
import numpy as np
import pytest

from cmo_tf import models
from cmo_tf.core.errors import UserError
from cmo_tf.models import heads

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


def test_the_cosine_head_is_25_times_the_cosines(tmp_path):
    cosines, scaled = (models.create("resnet20", 5, (8, 8, 3), head, seed=1) for head in ("normed", "cosine"))
    np.testing.assert_allclose(scaled(X), 25 * np.asarray(cosines(X)), rtol=1e-5)
    scaled.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(X), scaled(X))
    with pytest.raises(UserError, match="'cosine'"):
        models.create("resnet20", 5, (8, 8, 3), "sine")


def test_a_cosine_head_starts_at_class_means():
    head = heads.NormedLinear(4, seed=0)
    head.build((None, 3))
    random = head.kernel.numpy().copy()
    features = np.array([[3.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 4], [0, 3, 0]], "float32")
    heads.start_at_class_means(head, features, np.array([0, 3, 0, 1, 1]))
    expected = np.stack([[3 / 13**0.5, 2 / 13**0.5, 0], [0, 0.6, 0.8], random[:, 2], [1, 0, 0]], axis=1)
    np.testing.assert_allclose(head.kernel.numpy(), expected, atol=1e-7)
