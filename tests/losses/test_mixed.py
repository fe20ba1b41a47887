"""The two-term loss: against its formula, inside fit, and where a weighted soft label would differ."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.losses import LDAM, LOSSES, BalancedSoftmax, CrossEntropy, LongTailLoss, Mixed, mixed_terms

COUNTS = [50, 20, 7, 2]


def batch(rows=6):
    rng = np.random.default_rng(0)
    y, y_q = rng.integers(0, 4, (2, rows))
    return y, y_q, rng.uniform(size=rows).astype("float32"), rng.normal(size=(rows, 4)).astype("float32")


def pair(y_q, lam):
    return np.stack([y_q, lam], 1).astype("float32")


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("weighted_rows", [False, True])
def test_formula(name, weighted_rows):
    y, y_q, lam, logits = batch()
    loss = LOSSES[name].for_counts(COUNTS, class_weights=[0.1, 0.5, 1.0, 4.0])
    experts = np.stack([logits, 2 * logits, -logits], axis=1)
    logits = {"logits": logits, "features": np.arange(18, dtype="float32").reshape(6, 3), "experts": experts,
              "help": logits[:, :2], "kernel": np.ones((3, 4), "float32")}
    rows = np.linspace(0.2, 2, 6).astype("float32") if weighted_rows else np.ones(6, "float32")
    v, w = (array.numpy() for array in loss.terms(y, logits))
    v_q, w_q = (array.numpy() for array in loss.terms(y_q, logits))
    expected = (lam * v * w * rows).sum() / (w * rows).sum() + ((1 - lam) * v_q * w_q * rows).sum() / (w_q * rows).sum()
    extra = loss.extra(logits)  # counts once
    expected += 0.0 if extra is None else (extra * rows).numpy().sum() / rows.sum()
    packed = np.column_stack([pair(y_q, lam), rows]) if weighted_rows else pair(y_q, lam)
    value = Mixed(loss)(y, logits, packed)
    np.testing.assert_allclose(float(value), expected, rtol=1e-5)
    terms = mixed_terms(loss, y, y_q, lam, logits, rows)
    assert len(terms) == (2 if extra is None else 3)
    np.testing.assert_allclose(float(sum(num / den for num, den in terms)), expected, rtol=1e-5)


def test_scalar_lam_is_the_published_form():
    y, y_q, _, logits = batch()
    loss = LDAM(COUNTS, class_weights=[0.1, 0.5, 1.0, 4.0])
    (num, den), (num_q, den_q) = mixed_terms(loss, y, y_q, 0.3, logits)
    expected = 0.3 * loss(y, logits) + 0.7 * loss(y_q, logits)
    np.testing.assert_allclose(float(num / den + num_q / den_q), float(expected), rtol=1e-6)


def test_soft_label_agrees_without_weights_only():
    y, y_q, _, logits = batch()
    soft = 0.3 * np.eye(4)[y] + 0.7 * np.eye(4)[y_q]
    logp = tf.nn.log_softmax(logits).numpy()

    def two_terms(weights):
        return float(Mixed(CrossEntropy(weights))(y, logits, pair(y_q, np.full(6, 0.3))))

    weights = np.array([0.1, 0.5, 1.0, 4.0])
    np.testing.assert_allclose(two_terms(np.ones(4)), -(soft * logp).sum(1).mean(), rtol=1e-5)
    weighted_soft = -(soft * weights * logp).sum() / (soft * weights).sum()
    assert abs(two_terms(weights) - weighted_soft) > 0.01


def test_lam_one_is_the_loss_itself():
    y, y_q, _, logits = batch()
    loss = BalancedSoftmax(COUNTS)
    np.testing.assert_allclose(float(Mixed(loss)(y, logits, pair(y_q, np.ones(6)))), float(loss(y, logits)), rtol=1e-6)


def test_plain_labels_of_validation_data():
    y, _, _, logits = batch()
    loss = CrossEntropy([1.0, 2.0, 3.0, 4.0])
    assert float(Mixed(loss)(y, logits)) == float(Mixed(loss)(y[:, None], logits)) == float(loss(y, logits))
    rows = np.linspace(0.2, 2, 6).astype("float32")
    assert float(Mixed(loss)(y, logits, rows)) == float(Mixed(loss)(y, logits, rows[:, None])) == float(
        loss(y, logits, rows))


def test_what_is_no_triple_is_refused_with_the_way_out():
    y, y_q, lam, logits = batch()
    with pytest.raises(UserError, match=r"\(6, 3\); of a mixed batch fit takes .*\(image, label, pair\) = CMO.pack"):
        Mixed(CrossEntropy())(np.stack([y, y_q, lam], 1).astype("float32"), logits)  # as it was once
    for loss, wrong in ((CrossEntropy(), pair(y_q, lam)), (Mixed(CrossEntropy()), np.ones((6, 4)))):
        with pytest.raises(UserError, match="sample_weight is one number a row.*losses.Mixed"):
            loss(y, logits, wrong)


def test_zero_weights_of_one_term():
    y, y_q, _, logits = np.zeros(6, int), np.ones(6, int), None, batch()[3]
    loss = Mixed(CrossEntropy([1.0, 0.0, 1.0, 1.0]))
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(y, logits, pair(y_q, np.full(6, 0.5)))
    np.testing.assert_allclose(float(value), 0.5 * float(CrossEntropy()(y, logits)), rtol=1e-6)
    assert np.isfinite(tape.gradient(value, logits).numpy()).all()


def test_forwards_and_round_trips():
    mixed = Mixed(LDAM(COUNTS, scale=20.0))
    mixed.build(4)
    mixed.class_weights.assign([1.0, 2.0, 3.0, 4.0])
    assert mixed.head == "normed" and mixed.logit_scale == 20 and mixed.class_weights is mixed.loss.class_weights
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(mixed))
    assert copy.get_config() == mixed.get_config()
    np.testing.assert_array_equal(copy.class_weights, [1, 2, 3, 4])
    with pytest.raises(UserError, match="Mixed"):
        Mixed(keras.losses.SparseCategoricalCrossentropy())


class Coupled(LongTailLoss):
    """A loss that divides by how many rows of the whole batch have label 0."""

    def statistics(self, y_int, logits):
        labels, _ = self.prepare(y_int, logits)
        return {"zeros": keras.ops.sum(keras.ops.cast(labels == 0, "float32"))}

    def terms(self, y_int, logits, statistics=None):
        statistics = statistics or self.statistics(y_int, logits)
        labels, logits = self.prepare(y_int, logits)
        return logits[:, 0] / statistics["zeros"], keras.ops.ones_like(logits[:, 0])


def test_statistics_of_all_replicas_reach_the_terms():
    y, y_q, logits, loss = np.array([0, 0, 1]), np.array([0, 1, 1]), np.ones((3, 2), "float32"), Coupled()
    (num, den), (num_q, _) = mixed_terms(loss, y, y_q, 0.5, logits)
    assert (float(num), float(den), float(num_q)) == (0.75, 3, 1.5)
    summed = [{"zeros": 2 * loss.statistics(labels, logits)["zeros"]} for labels in (y, y_q)]
    (num, _), (num_q, _) = mixed_terms(loss, y, y_q, 0.5, logits, statistics=summed)
    assert (float(num), float(num_q)) == (0.375, 0.75)


METRICS = ["accuracy", "sparse_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2"),
           keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nll")]


@pytest.mark.parametrize("how", ["graph", "eager", "xla", "mirrored"])
def test_metrics_and_loss_in_plain_fit(how):
    """What Keras shows in fit, validation and evaluate is what the predictions say, for every kind of metric."""
    y, y_q, lam, _ = batch(12)
    x = np.random.default_rng(1).normal(size=(12, 5)).astype("float32")
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices) if how == "mirrored" else tf.distribute.get_strategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
        metrics = [metric if isinstance(metric, str) else metric.from_config(metric.get_config()) for metric in METRICS]
        model.compile(keras.optimizers.SGD(0.0), Mixed(CrossEntropy([1.0, 2.0, 3.0, 4.0])), metrics=metrics,
                      jit_compile=how == "xla", run_eagerly=how == "eager")
    data = tf.data.Dataset.from_tensor_slices((x, y, pair(y_q, lam))).batch(4)
    history = model.fit(data, epochs=2, verbose=0, validation_data=(x, y)).history
    logits = model.predict(x, verbose=0)
    order = np.argsort(-logits, axis=1)
    expected = {"accuracy": np.mean(order[:, 0] == y), "sparse_categorical_accuracy": np.mean(order[:, 0] == y),
                "top2": np.mean((order[:, :2] == y[:, None]).any(1)), "nll": float(CrossEntropy()(y, logits))}
    evaluated = model.evaluate(data, verbose=0, return_dict=True)
    for name, value in expected.items():
        shown = [history[name][-1], history[f"val_{name}"][-1], evaluated[name]]
        np.testing.assert_allclose(shown, 3 * [value], rtol=1e-5, err_msg=name)
    if how != "mirrored":  # whose replicas normalise by themselves
        losses = [float(model.loss(y[rows], logits[rows], pair(y_q, lam)[rows])) for rows in np.split(np.arange(12), 3)]
        np.testing.assert_allclose([history["loss"][-1], evaluated["loss"]], 2 * [np.mean(losses)], rtol=1e-5)
