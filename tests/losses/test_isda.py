"""ISDA: the official code's covariance, augmented loss and gradients; replicas, mixed rows, and exact resuming."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.losses import ISDA, CrossEntropy, Mixed
from cmo_tf.losses.class_covariance import ClassCovariance, class_sums, merged, spread

GOLDEN = np.load(Path(__file__).parents[1] / "golden/isda.npz", allow_pickle=False)
WEIGHT, BIAS = GOLDEN["weight"], GOLDEN["bias"]


def assert_close(got, name):
    expected = GOLDEN[name]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=name)


def make(kind, **options):
    loss = ISDA(num_classes=20, full_up_to=16 if kind == "full" else 15, **options)
    loss.build_features(16)
    return loss


def observe(loss, labels, outputs, rows=None):
    rows = tf.ones(len(labels)) if rows is None else tf.constant(rows, tf.float32)
    loss.absorb(loss.observed(labels, outputs, rows))


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_three_batches_of_the_official_code(kind):
    loss = make(kind, strength=1.0)
    for step in range(3):
        labels = GOLDEN[f"s{step}_labels"]
        features, kernel, bias = map(tf.constant, (GOLDEN[f"s{step}_features"], WEIGHT.T, BIAS))
        loss.progress.assign(GOLDEN[f"s{step}_ratio"])
        with tf.GradientTape() as tape:
            tape.watch([features, kernel, bias])
            outputs = {"logits": features @ kernel + bias, "features": features, "kernel": kernel}
            observe(loss, labels, outputs)
            value = loss(labels, outputs)
        case = f"{kind}_s{step}"
        assert_close(value, f"{case}_loss")
        added = 0.5 * GOLDEN[f"s{step}_ratio"] * spread(kernel, loss.state[0].value, labels)
        assert_close(outputs["logits"] + added, f"{case}_augmented_logits")
        for variable, name in zip(loss.state, ClassCovariance._fields, strict=True):
            assert_close(variable, f"{case}_{name}")
        gradients = tape.gradient(value, [features, kernel, bias])
        for gradient, name in zip(gradients, ("features", "weight", "bias"), strict=True):
            assert_close(tf.transpose(gradient) if name == "weight" else gradient, f"{case}_grad_{name}")


def test_sums_of_two_replicas_are_those_of_one_batch():
    state = ClassCovariance(*map(tf.constant, (GOLDEN["full_s0_covariance"], GOLDEN["full_s0_mean"],
                                               GOLDEN["full_s0_amount"].astype("float32"))))
    features, labels = GOLDEN["s1_features"], GOLDEN["s1_labels"].astype("int32")
    parts = [class_sums(state, features[rows], labels[rows]) for rows in (slice(0, 13), slice(13, None))]
    both = merged(state, {name: parts[0][name] + parts[1][name] for name in parts[0]})
    for value, name in zip(both, ClassCovariance._fields, strict=True):
        assert_close(value, f"full_s1_{name}")


def test_mixed_rows_do_not_move_the_covariance_and_each_label_has_its_own():
    loss, labels = make("full"), GOLDEN["s0_labels"]
    outputs = {"logits": GOLDEN["s0_logits"], "features": GOLDEN["s0_features"], "kernel": WEIGHT.T}
    observe(loss, labels, outputs, np.zeros(40))
    assert not loss.state[0].numpy().any() and not loss.state[2].numpy().any()
    assert float(loss(labels, outputs)) == pytest.approx(float(CrossEntropy()(labels, outputs["logits"])), rel=1e-6)
    observe(loss, labels, outputs)
    mixed = Mixed(loss)(labels, outputs, np.stack([labels[::-1], np.full(40, 0.25)], 1).astype("float32"))
    expected = 0.25 * loss(labels, outputs) + 0.75 * loss(labels[::-1].copy(), outputs)
    assert float(mixed) == pytest.approx(float(expected), rel=1e-5)
