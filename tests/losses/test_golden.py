"""Loss values and gradients of the official PyTorch code, plain, re-weighted and mixed."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.losses import LDAM, BalancedSoftmax, CrossEntropy, Mixed, effective_number_weights

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module", params=["losses_ir100", "losses_ir10"])
def golden(request):
    with np.load(GOLDEN / f"{request.param}.npz", allow_pickle=False) as file:
        return dict(file)


def make_loss(name, golden):
    counts, weights = golden["class_counts"], golden["drw_weights"] if name.endswith("_drw") else None
    makers = {
        "ce": lambda: CrossEntropy(weights),
        "ldam": lambda: LDAM(counts, class_weights=weights),
        "bs": lambda: BalancedSoftmax(counts),
    }
    return makers[name.removesuffix("_drw")]()


def value_and_gradient(loss, y, logits, pair=None):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(y, logits, pair)
    return float(value), tape.gradient(value, logits).numpy()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["ce", "ce_drw", "ldam", "ldam_drw", "bs"])
def test_value_and_gradient(golden, name, mixed):
    loss, y, key, pair = make_loss(name, golden), golden["labels"], name, None
    if mixed:
        lam = np.full(len(y), golden["lam"])
        loss, pair, key = Mixed(loss), np.stack([golden["labels_f"], lam], 1).astype("float32"), f"{name}_mixed"
    logits = golden["cosine_logits" if name.startswith("ldam") else "logits"]
    value, gradient = value_and_gradient(loss, y, logits, pair)
    np.testing.assert_allclose(value, golden[key], rtol=1e-5)
    np.testing.assert_allclose(gradient, golden[f"{key}_grad"], rtol=0, atol=1e-6)


def test_drw_weights(golden):
    np.testing.assert_allclose(effective_number_weights(golden["class_counts"]), golden["drw_weights"], rtol=1e-9)


def test_weighted_cross_entropy_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], "float32"))
    loss = CrossEntropy(class_weights=[1.0, 2.0, 3.0])
    expected = (1 * -np.log(0.5) + 3 * -np.log(0.8)) / (1 + 3)
    np.testing.assert_allclose(float(loss([0, 2], logits)), expected, rtol=1e-6)
    assert keras.backend.standardize_dtype(loss([0, 2], logits).dtype) == "float32"
