"""RIDE's losses: against the official code, the term without labels under mixing, and the router's targets."""

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.callbacks import DRW
from cmo_tf.core.errors import UserError
from cmo_tf.losses import RIDE, CrossEntropy, ExpertAssignment, Mixed, effective_number_weights
from cmo_tf.losses.ride import class_temperatures
from cmo_tf.losses.ride_router import help_wanted

CASES = {"before": {}, "after": {}, "imagenet": {"diversity": -0.2, "tempering": 0.02},
         "collaborative": {"diversity": 0}, "distilled": {}}


@pytest.fixture(scope="module")
def official(golden):
    with golden("ride_loss") as file:
        return dict(file)


def outputs(experts, **others):
    """A network's outputs for logits (B, K, C)."""
    return {"experts": experts, "logits": tf.reduce_mean(experts, axis=1), **others}


def batch(rows=6, experts=3):
    random = np.random.default_rng(0)
    y, y_q = random.integers(0, 4, (2, rows))
    return y, y_q, tf.constant(random.normal(0, 3, (rows, experts, 4)), tf.float32)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mixed", [False, True])
def test_official_value_and_gradient(official, name, mixed):
    loss = RIDE(official["class_counts"], **CASES[name])
    if name != "before":
        loss.class_weights.assign(effective_number_weights(official["class_counts"]))
        loss.active.assign(1.0)
    experts = tf.Variable(official["experts"].transpose(1, 0, 2))
    others = {"teacher": official["teacher"]} if name == "distilled" else {}
    y, y_q = official["labels"], official["labels_f"]
    with tf.GradientTape() as tape:
        given = outputs(tf.convert_to_tensor(experts), **others)
        pair = np.stack([y_q, np.full(len(y), official["lam"])], 1).astype("float32")
        value = Mixed(loss)(y, given, pair) if mixed else loss(y, given)
    key = f"{name}_mixed" if mixed else name
    np.testing.assert_allclose(float(value), official[key], rtol=1e-5)
    gradient = tape.gradient(value, experts).numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(gradient, official[f"{key}_grad"], rtol=0, atol=1e-6)


def test_temperatures(official):
    counts = official["class_counts"]
    np.testing.assert_allclose(RIDE(counts).temperatures, official["after_temperatures"], rtol=1e-6)
    np.testing.assert_allclose(RIDE(counts, tempering=0.02).temperatures, official["imagenet_temperatures"], rtol=1e-6)
    found = class_temperatures(counts, 0.05)
    np.testing.assert_allclose([found[0], found[-1], found.mean()], [1, 0.8067, 0.8471], atol=5e-5)


def test_diversity_counts_once_and_knows_neither_labels_nor_class_weights():
    y, y_q, experts = batch()
    lam = np.array([0.1, 0.4, 0.9, 1.0, 0.0, 0.5], "float32")
    given, weights = outputs(experts), [0.1, 0.5, 1.0, 4.0]
    full, none = RIDE([50, 20, 7, 2], class_weights=weights), RIDE([50, 20, 7, 2], 1e-30, class_weights=weights)
    kl = float(full(y, given) - none(y, given))
    assert kl < -0.1
    pair = np.stack([y_q, lam], 1)
    assert float(Mixed(full)(y, given, pair) - Mixed(none)(y, given, pair)) == pytest.approx(kl, rel=1e-5)
    assert float(np.mean(full.extra(given))) == pytest.approx(kl, rel=1e-5)
    zero = RIDE([50, 20, 7, 2], class_weights=np.zeros(4))
    assert float(zero(y, given)) == pytest.approx(kl, rel=1e-5)
    rows = np.array([0, 0, 2, 0, 0, 0], "float32")
    alone = outputs(experts[2:3])
    weighted = float(Mixed(full)(y, given, np.column_stack([pair, rows])))
    assert weighted == pytest.approx(float(Mixed(full)(y[2:3], alone, pair[2:3])), rel=1e-5)
    assert RIDE([50, 20, 7, 2]).extra({"logits": experts[:, 0]}) is None


def test_no_gradient_reaches_the_mean_through_the_divergence():
    y, _, experts = batch()
    apart = {"experts": experts, "logits": tf.Variable(tf.reduce_mean(experts, axis=1))}
    with tf.GradientTape() as tape:
        value = RIDE([50, 20, 7, 2])(y, apart)
    assert tape.gradient(value, apart["logits"]) is None


def test_validation_without_experts_is_cross_entropy():
    y, _, experts = batch()
    weights = [0.1, 0.5, 1.0, 4.0]
    for loss in (RIDE([50, 20, 7, 2], class_weights=weights), ExpertAssignment(4, class_weights=weights)):
        assert float(loss(y, experts[:, 0])) == pytest.approx(float(CrossEntropy(weights)(y, experts[:, 0])))


def test_options():
    loss = RIDE([50, 20, 7, 2], -0.3, 0.1, 0.4, 20.0, 2.0)
    assert RIDE.from_config(loss.get_config()).get_config() == loss.get_config()
    assert loss.head == "linear" and loss.logit_scale == 1 and float(loss.active) == 0 and not loss.active.trainable
    for bad in ({"tempering": 1.5}, {"diversity": float("nan")}, {"scale": 0}, {"distill_temperature": 0}):
        with pytest.raises(UserError, match=next(iter(bad))):
            RIDE([5, 1], **bad)
    with pytest.raises(UserError, match="without images"):
        RIDE([5, 0], tempering=1.0)
    with pytest.raises(UserError, match="pos_weight"):
        ExpertAssignment(pos_weight=0)
    np.testing.assert_array_equal(DRW([50, 20, 7, 2], 1).weights(1), effective_number_weights([50, 20, 7, 2]))


def test_router_targets():
    """Help is wanted where the mean so far is wrong and that of more experts is right."""
    def one_hot(*labels):
        return np.eye(3, dtype="float32")[list(labels)]

    # The first expert says 2; the first two together 0; all three 0.
    sways = np.stack([one_hot(2)[0], 3 * one_hot(0)[0], one_hot(1)[0]])
    # Says 1 throughout; right, wrong, right in the end.
    same, back = one_hot(1, 1, 1), np.stack([one_hot(0)[0], 3 * one_hot(1)[0], 9 * one_hot(0)[0]])
    experts = np.stack([sways, sways, same, same, back])
    labels = np.array([0, 1, 1, 0, 0])
    np.testing.assert_array_equal(help_wanted(labels, experts), [[1, 0], [0, 0], [0, 0], [0, 0], [0, 1]])
    answers = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    target = np.array([[1, 0], [0, 0], [0, 0], [0, 0], [0, 1]], "float32")
    expected = tf.nn.weighted_cross_entropy_with_logits(target, answers, 100.0)
    given = {"logits": experts.mean(1), "experts": experts, "help": answers}
    assert float(ExpertAssignment()(labels, given)) == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-6)
