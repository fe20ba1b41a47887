"""What every loss of the registry promises."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.losses import LADE, LDAM, LOSSES, BalancedSoftmax, CrossEntropy, ExpertAssignment, FocalSigmoid

COUNTS = [50, 20, 7, 2]


@pytest.fixture(params=sorted(LOSSES))
def make(request):
    def make(counts=COUNTS, **options):
        return LOSSES[request.param].for_counts(counts, **options)

    return make


def batch(rows=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, rows), rng.normal(size=(rows, classes)).astype("float32")


def outputs(loss, logits):
    """What a network for this loss returns: the logits, or a dict with them and features (B, 3), or with experts."""
    if loss.method == "ride":
        logits = tf.convert_to_tensor(logits)
        return {"logits": logits, "experts": tf.stack([logits, logits / 2], axis=1), "help": logits[:, :1]}
    features = {"logits": logits, "features": np.ones((len(logits), 3), "float32")}
    if loss.needs_kernel:
        features["kernel"] = np.linspace(-1, 1, 3 * logits.shape[-1], dtype="float32").reshape(3, -1)
    return features if loss.needs_features else logits


def gradient(loss, y, logits, sample_weight=None):
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(y, outputs(loss, logits), sample_weight)
    return float(value), tape.gradient(value, logits).numpy()


def test_value_is_the_normalised_sum_of_terms(make):
    y, logits = batch()
    loss, sample_weight = make(class_weights=[1.0, 0.5, 2.0, 4.0]), np.linspace(0.1, 1, 6).astype("float32")
    logits_only, logits = logits, outputs(loss, logits)
    values, weights = (array.numpy() for array in loss.terms(y, logits))
    assert values.dtype == weights.dtype == np.float32 and values.shape == weights.shape == (6,)
    expected = (values * weights * sample_weight).sum() / (weights * sample_weight).sum()
    if (extra := loss.extra(logits)) is not None:
        assert extra.dtype == np.float32 and extra.shape == (6,)
        expected += (extra * sample_weight).numpy().sum() / sample_weight.sum()
    np.testing.assert_allclose(float(loss(y, logits, sample_weight)), expected, rtol=1e-6)
    np.testing.assert_allclose(float(loss(y, logits, sample_weight[:, None])), expected, rtol=1e-6)
    assert loss(y, logits).shape == ()
    assert np.isfinite(gradient(loss, y, logits_only)[1]).all()


@pytest.mark.parametrize("as_label", [np.int32, np.int64, np.uint8, np.float32])
def test_label_types_and_shapes(make, as_label):
    y, logits = batch()
    loss = make()
    given = outputs(loss, logits)
    expected = float(loss(y, given))
    assert float(loss(y.astype(as_label), given)) == expected
    assert float(loss(y.astype(as_label)[:, None], given)) == expected
    others = given if isinstance(given, dict) else {"logits": logits}
    assert float(loss(y.astype(as_label), {**others, "features": np.ones((6, 3))})) == expected


def test_wrong_label_shape_is_refused(make):
    (y, logits), loss = batch(), make()
    with pytest.raises(UserError, match="Mixed"):
        loss(np.stack([y, y, y], 1).astype("float32"), outputs(loss, logits))


def test_one_class(make):
    loss = make([9])
    value, slope = gradient(loss, [0, 0], np.array([[3.0], [-2.0]], "float32"))
    if isinstance(loss, (LADE, FocalSigmoid, ExpertAssignment)):  # one class alone is something to learn
        assert np.isfinite(value) and np.isfinite(slope).all()
    else:
        assert value == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_empty_class_stays_finite(make):
    y, logits = np.array([0, 1, 2, 3]), batch(4)[1]
    value, slope = gradient(make([50, 0, 7, 0]), y, logits)
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_computes_in_float32(make, dtype):
    y, logits = batch()
    low = tf.cast(logits, dtype)
    loss = make()
    value = loss(y, outputs(loss, low))
    assert value.dtype == tf.float32
    assert float(value) == float(loss(y, outputs(loss, tf.cast(low, tf.float32))))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert float(make()(y, outputs(loss, low))) == float(value)
    finally:
        keras.config.set_dtype_policy("float32")
    # 60000 times the scale of LDAM overflows float16.
    huge = tf.constant([[6e4, -6e4, 0, 1]], tf.float16)
    value, slope = gradient(loss, [1], huge)
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("where", ["sample_weight", "class_weights"])
def test_all_zero_weights(make, where):
    y, logits = batch()
    loss = make(class_weights=[0, 0, 0, 0] if where == "class_weights" else None)
    value, slope = gradient(loss, y, logits, np.zeros(6, "float32") if where == "sample_weight" else None)
    if where == "class_weights" and loss.extra(outputs(loss, logits)) is not None:
        assert value == pytest.approx(float(np.mean(loss.extra(outputs(loss, logits)))))
    else:
        assert value == 0 and not slope.any()


def test_weights_change_after_tracing(make):
    y, logits = batch()
    loss = make()
    logits = outputs(loss, logits)
    traced = tf.function(lambda: loss(y, logits))
    before, changed = float(traced()), [0.1, 0.2, 3.0, 4.0]
    loss.class_weights.assign(changed)
    assert float(traced()) == pytest.approx(float(make(class_weights=changed)(y, logits)), rel=1e-6)
    assert float(traced()) != before


def test_build(make):
    loss = make()
    loss.build(4)
    weights = loss.class_weights
    loss.build(4)
    assert loss.class_weights is weights and not weights.trainable and weights.dtype == "float32"
    np.testing.assert_array_equal(weights, np.ones(4))
    with pytest.raises(UserError, match="4 classes.*5"):
        loss.build(5)
    with pytest.raises(UserError, match="4 classes.*5"):
        y, logits = batch(classes=5)
        loss(y, outputs(loss, logits))


@pytest.mark.parametrize("bad", [[1, 2, 3], [1, 2, 3, -1], [1, 2, 3, float("nan")], [[1, 2, 3, 4]]])
def test_bad_class_weights(make, bad):
    with pytest.raises(UserError, match="class_weights"):
        make(class_weights=bad)


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 3.4]])
def test_configuration_round_trip(make, weights):
    y, logits = batch()
    loss = make()
    logits = outputs(loss, logits)
    if weights:
        loss.class_weights.assign(weights)
    for copy in (
        type(loss).from_config(loss.get_config()),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss)),
        keras.losses.deserialize(keras.losses.serialize(loss)),
    ):
        assert copy.get_config() == loss.get_config()
        assert float(copy(y, logits)) == float(loss(y, logits))
    given = loss.get_config()["class_weights"]
    assert given is None if weights is None else np.allclose(given, weights)


def plain_model(loss, jit=False):
    start = keras.initializers.GlorotUniform(seed=0)  # a loss near 0 has few digits to compare
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, kernel_initializer=start)])
    model.compile("sgd", loss, jit_compile=jit)
    return model


# A loss that needs features is for LongTailClassifier: keras wants a label for every output of a dict.
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", sorted(name for name in LOSSES if not LOSSES[name].needs_features))
def test_plain_keras_fit(name, jit, tmp_path):
    y, x = batch(7)[0], np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    loss = LOSSES[name].for_counts(COUNTS)
    model = plain_model(loss, jit)
    first = model.fit(x, y, batch_size=3, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(first).all()
    expected = float(loss(y, model.predict(x, verbose=0)))
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(expected, rel=1e-5)
    loss.class_weights.assign([0.0, 0.0, 0.0, 1.0])
    rare = float(loss(y, model.predict(x, verbose=0)))
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(rare, rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(rare, rel=1e-5)


def test_number_of_classes_found_in_fit():
    loss, (y, _) = CrossEntropy(), batch(6)
    assert loss.class_weights is None
    model = plain_model(loss)
    model.fit(np.ones((6, 5)), y, verbose=0)
    np.testing.assert_array_equal(loss.class_weights, np.ones(4))
    assert loss.get_config()["num_classes"] == 4


@pytest.mark.parametrize("jit", [False, True])
def test_first_call_inside_a_trace(jit):
    loss, (y, logits) = CrossEntropy(), batch()

    @tf.function(jit_compile=jit)
    def value(y, logits):
        return loss(y, logits)

    first = float(value(y, logits))
    assert first == pytest.approx(float(CrossEntropy()(y, logits)), rel=1e-6)
    loss.class_weights.assign([0.0, 1.0, 2.0, 3.0])
    assert float(value(y, logits)) == pytest.approx(float(loss(y, logits)), rel=1e-6)
    assert np.isfinite(float(value(y[:3], logits[:3])))  # a retrace


def test_first_call_in_a_mapped_function():
    loss, (y, logits) = CrossEntropy(), batch()
    data = tf.data.Dataset.from_tensors((y, logits)).map(loss)
    assert float(next(iter(data))) == pytest.approx(float(loss(y, logits)), rel=1e-6)


def test_under_a_strategy(make):
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    loss, (y, logits) = make(), batch()
    logits = outputs(loss, logits)
    with strategy.scope():
        loss.build(4)
    per_replica = strategy.run(tf.function(lambda: loss(y, logits)))
    loss.class_weights.assign([1.0, 2.0, 3.0, 4.0])
    assert float(strategy.experimental_local_results(per_replica)[0]) == pytest.approx(float(make()(y, logits)))
    np.testing.assert_array_equal(loss.class_weights.numpy(), [1, 2, 3, 4])
    if loss.phase_flag:
        loss.active.assign(0.0)
        per_replica = strategy.run(tf.function(lambda: loss(y, logits)))
        found = [float(value) for value in strategy.experimental_local_results(per_replica)]
        assert found == pytest.approx([float(CrossEntropy()(y, logits))] * len(devices))


def test_facts_for_the_program(make):
    loss = make()
    assert loss.head in ("linear", "normed")
    assert loss.logit_scale == (30.0 if isinstance(loss, LDAM) else 1.0)
    statistics = loss.statistics(*batch())
    assert set(loss.reductions) <= set(statistics) and set(loss.reductions.values()) <= {"sum", "logsumexp"}
    assert bool(statistics) == isinstance(loss, LADE)
    defaults, signature = Config(), inspect.signature(type(loss)).parameters
    for option, name in loss.flags.items():  # the flag's default is the loss's own
        assert getattr(defaults, name) == signature[option].default
    assert loss.phase_flag is None or hasattr(defaults, loss.phase_flag)


def test_margins_and_priors():
    counts = [int(500 * 0.01 ** (k / 99)) for k in range(100)]
    margins = LDAM(counts).margins
    np.testing.assert_allclose(margins[[0, 50, 99]], [0.1581, 0.2841, 0.5], atol=5e-5)
    np.testing.assert_allclose(LDAM([16, 1, 0]).margins, [0.25, 0.5, 0.5])
    prior = BalancedSoftmax([10, 0]).log_prior
    assert prior[0] == pytest.approx(np.log(10)) and -20 < prior[1] < -10


@pytest.mark.parametrize("counts", [[], [1, -2], [0, 0], [[1, 2]], [1, float("inf")]])
def test_bad_counts(make, counts):
    with pytest.raises(UserError, match="class_counts"):
        make(counts)


BAD = {
    "ride": [{"tempering": 2}, {"scale": 0}],
    "ride_router": [{"pos_weight": 0}],
    "ce": [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}],
    "ldam": [{"scale": 0}, {"max_margin": -1}, {"scale": float("nan")}],
    "logit_adjust": [{"tau": -1}],
    "lade": [{"alpha": -1}, {"rho": float("nan")}],
    "focal": [{"gamma": -1}, {"factor": 0}],
    "focal_sigmoid": [{"gamma": -1}],
    "isda": [{"strength": -1}, {"strength": float("nan")}],
    "ib": [{"alpha": 0}, {"epsilon": 0}],
}


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in BAD for options in BAD[name]])
def test_bad_options_are_named(name, options):
    with pytest.raises(UserError, match=next(iter(options))):
        LOSSES[name].for_counts(COUNTS, **options)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", ["focal", "focal_sigmoid"])
def test_focal_losses_stay_finite_where_the_answer_is_sure(name, gamma):
    loss = LOSSES[name].for_counts(COUNTS, gamma=gamma)
    logits = np.array([[300.0, -300, -300, -300], [-300, 300, 0, 0]], "float32")
    value, slope = gradient(loss, [0, 0], logits)
    assert np.isfinite(value) and np.isfinite(slope).all()
    assert FocalSigmoid.head_bias(100) == pytest.approx(-np.log(99)) and loss.head_bias(1) in (None, 0)
