"""Networks that end in a softmax or sigmoid are refused by name, wherever one of our losses meets them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from cmo_tf import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.losses import BalancedSoftmax, CrossEntropy, FocalSigmoid, Mixed

X, Y = np.ones((6, 4), "float32"), np.array([0, 1, 2, 0, 1, 2])


def functional(last):
    inputs = keras.Input((4,))
    return keras.Model(inputs, last(layers.Dense(3, name="logits")(inputs)))


def nested():
    return keras.Sequential([keras.Input((4,)), functional(layers.Softmax(name="inside"))])


SQUASHED = {
    "probabilities": lambda: keras.Sequential([keras.Input((4,)),
                                               layers.Dense(3, activation="softmax", name="probabilities")]),
    "unbuilt": lambda: keras.Sequential([layers.Dense(3, activation="sigmoid", name="unbuilt")]),
    "cast": lambda: functional(lambda x: layers.Activation("linear", dtype="float32")(
        layers.Activation("softmax", name="cast")(x))),
    "inside": nested,
    "softmax": lambda: functional(lambda x: ops.softmax(x)),
}


@pytest.mark.parametrize("name", sorted(SQUASHED))
def test_refused_with_the_layer_and_the_way_out(name):
    words = f"the network ends in (softmax|sigmoid) .layer '{name}.*logits.*activation=None.*classifier_activation=None"
    with pytest.raises(UserError, match=words):
        LongTailClassifier(SQUASHED[name]()).compile("sgd", BalancedSoftmax([5, 3, 1]))
    for loss in (FocalSigmoid(), Mixed(CrossEntropy())):
        model = SQUASHED[name]()
        model.compile("sgd", loss)
        with pytest.raises(UserError, match=words):
            model.fit(X, Y, verbose=0)
        with pytest.raises(UserError, match=words):
            model.evaluate(X, Y, verbose=0)


def test_a_packed_fit_is_refused_too():
    model = SQUASHED["probabilities"]()
    model.compile("sgd", Mixed(CrossEntropy()))
    with pytest.raises(UserError, match="'probabilities'"):
        model.fit(X, Y, sample_weight=np.ones((6, 2)), verbose=0)


class Subclassed(keras.Model):
    """A network whose end only its call knows."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return keras.activations.softmax(self.dense(x))


def test_inside_of_a_subclassed_model():
    model = Subclassed()
    model.compile("sgd", CrossEntropy())
    with pytest.raises(UserError, match="ends in a softmax or sigmoid.*activation=None"):
        model.fit(X, Y, verbose=0)


def test_logits_pass():
    for model in (functional(lambda x: x), functional(layers.Activation("relu")),
                  functional(lambda x: layers.Multiply()([x, layers.Dense(3, activation="sigmoid")(x)]))):
        LongTailClassifier(model).compile("sgd", CrossEntropy())
        model.compile("sgd", Mixed(CrossEntropy()))
        assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


def test_weighted_metrics_are_refused_on_packed_batches_alone():
    model = functional(lambda x: x)
    model.compile("sgd", Mixed(CrossEntropy()), weighted_metrics=["accuracy"])
    assert np.isfinite(model.fit(X, Y, sample_weight=np.ones(6), verbose=0).history["loss"]).all()
    with pytest.raises(UserError, match="compile it again"):  # TensorFlow's graph would know neither shape
        model.fit(X, Y, sample_weight=np.ones((6, 2)), verbose=0)
    model.compile("sgd", Mixed(CrossEntropy()), weighted_metrics=["accuracy"])
    with pytest.raises(UserError, match="weighted_metrics.*metrics="):
        model.fit(X, Y, sample_weight=np.ones((6, 2)), verbose=0)
