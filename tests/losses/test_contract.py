"""What every loss of the registry promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.errors import UserError
from cmo_tf.losses import LDAM, LOSSES, BalancedSoftmax, CrossEntropy

COUNTS = [50, 20, 7, 2]


@pytest.fixture(params=sorted(LOSSES))
def make(request):
    def make(counts=COUNTS, **options):
        return LOSSES[request.param].for_counts(counts, **options)

    return make


def batch(rows=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, rows), rng.normal(size=(rows, classes)).astype("float32")


def gradient(loss, y, logits, sample_weight=None):
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(y, logits, sample_weight)
    return float(value), tape.gradient(value, logits).numpy()


def test_value_is_the_normalised_sum_of_terms(make):
    y, logits = batch()
    loss, sample_weight = make(class_weights=[1.0, 0.5, 2.0, 4.0]), np.linspace(0.1, 1, 6).astype("float32")
    values, weights = (array.numpy() for array in loss.terms(y, logits))
    assert values.dtype == weights.dtype == np.float32 and values.shape == weights.shape == (6,)
    expected = (values * weights * sample_weight).sum() / (weights * sample_weight).sum()
    np.testing.assert_allclose(float(loss(y, logits, sample_weight)), expected, rtol=1e-6)
    np.testing.assert_allclose(float(loss(y, logits, sample_weight[:, None])), expected, rtol=1e-6)
    assert loss(y, logits).shape == ()
    assert np.isfinite(gradient(loss, y, logits)[1]).all()


@pytest.mark.parametrize("as_label", [np.int32, np.int64, np.uint8, np.float32])
def test_label_types_and_shapes(make, as_label):
    y, logits = batch()
    loss = make()
    expected = float(loss(y, logits))
    assert float(loss(y.astype(as_label), logits)) == expected
    assert float(loss(y.astype(as_label)[:, None], logits)) == expected
    assert float(loss(y.astype(as_label), {"logits": logits})) == expected


def test_wrong_label_shape_is_refused(make):
    y, logits = batch()
    with pytest.raises(UserError, match="Mixed"):
        make()(np.stack([y, y, y], 1).astype("float32"), logits)


def test_one_class(make):
    value, slope = gradient(make([9]), [0, 0], np.array([[3.0], [-2.0]], "float32"))
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
    assert loss(y, low).dtype == tf.float32
    assert float(loss(y, low)) == float(loss(y, tf.cast(low, tf.float32)))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert float(make()(y, low)) == float(loss(y, low))
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
    assert value == 0 and not slope.any()


def test_weights_change_after_tracing(make):
    y, logits = batch()
    loss = make()
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
        loss(*batch(classes=5))


@pytest.mark.parametrize("bad", [[1, 2, 3], [1, 2, 3, -1], [1, 2, 3, float("nan")], [[1, 2, 3, 4]]])
def test_bad_class_weights(make, bad):
    with pytest.raises(UserError, match="class_weights"):
        make(class_weights=bad)


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 3.4]])
def test_configuration_round_trip(make, weights):
    y, logits = batch()
    loss = make()
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
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
    model.compile("sgd", loss, jit_compile=jit)
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_plain_keras_fit(make, jit, tmp_path):
    y, x = batch(7)[0], np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    loss = make()
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
    with strategy.scope():
        loss.build(4)
    per_replica = strategy.run(tf.function(lambda: loss(y, logits)))
    loss.class_weights.assign([1.0, 2.0, 3.0, 4.0])
    assert float(strategy.experimental_local_results(per_replica)[0]) == pytest.approx(float(make()(y, logits)))
    np.testing.assert_array_equal(loss.class_weights.numpy(), [1, 2, 3, 4])


def test_facts_for_the_program(make):
    loss = make()
    assert loss.head in ("linear", "normed")
    assert loss.logit_scale == (30.0 if isinstance(loss, LDAM) else 1.0)
    assert loss.statistics(*batch()) == {}


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


@pytest.mark.parametrize("options", [{"scale": 0}, {"max_margin": -1}, {"scale": float("nan")}])
def test_bad_ldam_options(options):
    with pytest.raises(UserError, match="ldam"):
        LDAM(COUNTS, **options)
