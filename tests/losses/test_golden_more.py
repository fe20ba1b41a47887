"""Values and gradients of the official code of the other losses, plain and mixed (tests/golden/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.core.class_counts import inverse_frequency_weights
from cmo_tf.losses import (
    LADE,
    BalancedSoftmax,
    CrossEntropy,
    Focal,
    FocalSigmoid,
    InfluenceBalanced,
    LogitAdjusted,
    Mixed,
)

GOLDEN = Path(__file__).parents[1] / "golden"
# Case -> (file, loss from (class counts, DRW weights)).
CASES = {
    "focal_g1_x10": ("losses_ir100", lambda n, w: Focal(factor=10.0)),
    "focal_g1": ("losses_ldam_drw", lambda n, w: Focal()),
    "focal_g2_drw": ("losses_ldam_drw", lambda n, w: Focal(gamma=2.0, class_weights=w)),
    "cb_softmax": ("losses_cb", lambda n, w: Focal(gamma=0.0, class_weights=w)),
    "cb_sigmoid": ("losses_cb", lambda n, w: FocalSigmoid(gamma=0.0, class_weights=w)),
    "cb_focal_g0.5": ("losses_cb", lambda n, w: FocalSigmoid(gamma=0.5, class_weights=w)),
    "cb_focal_g2": ("losses_cb", lambda n, w: FocalSigmoid(gamma=2.0, class_weights=w)),
    "lade_a0.1_r0.01": ("losses_lade", lambda n, w: LADE(n)),
    "lade_a0.05_r0.5": ("losses_lade", lambda n, w: LADE(n, alpha=0.05, rho=0.5)),
    "ib": ("losses_ib", lambda n, w: InfluenceBalanced()),
    "ib_inverse": ("losses_ib", lambda n, w: InfluenceBalanced(class_weights=inverse_frequency_weights(n))),
    "logit_adjust_t1": ("losses_logit_adjustment", lambda n, w: LogitAdjusted(n)),
    "logit_adjust_t2": ("losses_logit_adjustment", lambda n, w: LogitAdjusted(n, tau=2.0)),
    "ce_smooth": ("losses_torch", lambda n, w: CrossEntropy(label_smoothing=0.1)),
    "ce_smooth_drw": ("losses_torch", lambda n, w: CrossEntropy(w, label_smoothing=0.1)),
}


def read(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def given():
    return read("losses_ir100")


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient(given, case, mixed):
    file, make = CASES[case]
    golden, loss = read(file), make(given["class_counts"], given["drw_weights"])
    key, pair = (f"{case}_mixed", pack(given)) if mixed else (case, None)
    outputs = {"logits": tf.constant(given["logits"])}
    if loss.needs_features:
        outputs["features"] = tf.constant(golden["features"])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = (Mixed(loss) if mixed else loss)(given["labels"], outputs, pair)
    np.testing.assert_allclose(float(value), golden[key], rtol=1e-5)
    for name, gradient in tape.gradient(value, outputs).items():
        expected = golden[f"{key}_grad" if name == "logits" else f"{key}_features_grad"]
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6)


def pack(given):
    lam = np.full(len(given["labels"]), given["lam"])
    return np.stack([given["labels_f"], lam], 1).astype("float32")


def test_logit_adjustment_at_tau_one_is_balanced_softmax(given):
    losses = LogitAdjusted(given["class_counts"]), BalancedSoftmax(given["class_counts"])
    ours, theirs = (float(loss(given["labels"], given["logits"])) for loss in losses)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_factor_or_a_smoothing_of_nothing_is_the_plain_loss(given):
    y, logits = given["labels"], given["logits"]
    np.testing.assert_allclose(Focal(gamma=0.0)(y, logits), CrossEntropy()(y, logits), rtol=1e-6)
    np.testing.assert_allclose(LADE(given["class_counts"], alpha=0.0)(y, logits),
                               BalancedSoftmax(given["class_counts"])(y, logits), rtol=1e-6)
