"""Metrics at compile of LongTailClassifier: those that fit integer labels and logits are right, others are refused."""

import keras
import numpy as np
import pytest

from cmo_tf import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 2.0], [3.0, 1.0, 0.0], [1.0, 3.0, 2.0]], "float32")
LABELS = np.array([0, 1, 2, 1])


def compiled(**options):
    model = LongTailClassifier(keras.Sequential([keras.Input((3,)), keras.layers.Identity()]))
    model.compile("sgd", CrossEntropy(), **options)
    return model


class Area(keras.metrics.AUC):
    """A metric of the user's own, who knows what it sees."""

    def update_state(self, labels, logits, sample_weight=None):
        super().update_state(keras.ops.one_hot(labels, 3), keras.ops.softmax(logits), sample_weight)


def first_logit(labels, logits):
    return logits[:, 0]


def test_those_that_fit_are_right():
    crossentropy = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="crossentropy")
    model = compiled(metrics=["accuracy", "sparse_categorical_accuracy", crossentropy, Area(name="area"), first_logit,
                              keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")])
    shown = model.evaluate(LOGITS, LABELS, verbose=0, return_dict=True)
    share = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    expected = -np.log(share[np.arange(4), LABELS]).mean()
    area = keras.metrics.AUC()(np.eye(3)[LABELS], share)
    assert shown == pytest.approx({"loss": expected, "crossentropy": expected, "accuracy": 0.5, "first_logit": 1.5,
                                   "sparse_categorical_accuracy": 0.5, "top2": 0.75, "area": float(area)})


@pytest.mark.parametrize("metric, name", [
    ("AUC", "AUC"), ("auc", "AUC"), (keras.metrics.AUC(), "AUC"), (keras.metrics.AUC(from_logits=True), "AUC"),
    (keras.metrics.SparseCategoricalCrossentropy(), "SparseCategoricalCrossentropy"),
    ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"), ("Precision", "Precision"),
    (keras.metrics.CategoricalAccuracy(), "CategoricalAccuracy"), ("mse", "MeanSquaredError"),
    (keras.metrics.categorical_accuracy, "categorical_accuracy"), (keras.metrics.F1Score, "F1Score"),
    (keras.metrics.MeanMetricWrapper(keras.metrics.binary_accuracy), "binary_accuracy"), ("ce", "'ce'"),
], ids=lambda value: getattr(value, "__name__", str(value)))
def test_others_are_refused_by_name(metric, name):
    with pytest.raises(UserError, match=rf"^compile\(metrics={name}\): .*softmax") as error:
        compiled(metrics=["accuracy", metric])
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=rf"^compile\(weighted_metrics={name}\)"):
        compiled(weighted_metrics=metric)
