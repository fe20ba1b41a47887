import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve

from cmo_tf.evaluation import calibration, temperature
from cmo_tf.evaluation.metrics import Predictions


def reliability(right, confidence):
    return calibration.reliability(np.ones(len(right), int), np.asarray(right, int), np.asarray(confidence))


def test_ece_and_mce_by_hand():
    # Bins of width 1/15: 0.5 is in bin 7 (0.467, 0.533], 0.9 and 0.92 in bin 13 (0.867, 0.933].
    bins = reliability([1, 0, 1, 1], [0.5, 0.5, 0.9, 0.92])
    assert bins.count.tolist() == [0] * 7 + [2] + [0] * 5 + [2, 0]
    assert bins.accuracy[7] == 0.5 and bins.confidence[7] == 0.5
    assert bins.ece == pytest.approx((2 * 0.0 + 2 * 0.09) / 4)
    assert bins.mce == pytest.approx(0.09)


def test_gaps_count_in_both_directions():
    bins = reliability([0, 1], [0.75, 0.4])
    assert bins.ece == pytest.approx((0.75 + 0.6) / 2)
    assert bins.mce == pytest.approx(0.75)


def test_bins_are_closed_on_the_right():
    edges = np.linspace(0.0, 1.0, 16)
    bins = reliability(np.ones(15), edges[1:])
    assert bins.count.tolist() == [1] * 15
    assert reliability([1], [np.nextafter(edges[3], 1)]).count.argmax() == 3


def test_zero_above_one_and_nan_are_not_counted():
    bins = reliability([0, 1, 1, 1], [0.0, np.nextafter(1.0, 2.0), np.nan, 0.6])
    assert bins.count.sum() == 1
    assert bins.ece == pytest.approx(0.4)


def test_bins_agree_with_sklearn():
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    right = rng.random(5000) < confidence**2
    share, mean = calibration_curve(right, confidence, n_bins=15)
    bins = reliability(right, confidence)
    np.testing.assert_allclose(bins.accuracy, share, rtol=1e-12)
    np.testing.assert_allclose(bins.confidence, mean, rtol=1e-12)


def test_no_images():
    bins = reliability([], [])
    assert bins.ece is None and bins.mce is None
    assert calibration.overconfidence([], [], []) is None


def test_overconfidence_by_group_goes_by_the_true_class():
    predictions = Predictions([0, 0, 1, 2], [0, 1, 0, 2], np.array([0.75, 0.75, 0.5, 0.25]))
    groups = {"many": np.array([0]), "medium": np.array([1]), "few": np.array([], int)}
    assert calibration.overconfidence_by_group(predictions, groups, 3) == {
        "all": 0.5625 - 0.5, "many": 0.25, "medium": 0.5, "few": None}


def test_softmax_confidence_scales_and_survives_large_logits():
    logits = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    expected = softmax(30 * logits.astype(np.float64), axis=1).max(axis=1)
    confidence = calibration.softmax_confidence(logits, scale=30.0)
    assert confidence.dtype == np.float32
    np.testing.assert_allclose(confidence, expected, rtol=1e-6)
    np.testing.assert_array_equal(calibration.softmax_confidence([[1e5, -1e5], [1000.0, 1000.0]]), [1.0, 0.5])


def test_predictions_from_logits():
    predictions = calibration.predictions_from_logits([2, 0], [[0.0, 1.0, 0.0], [3.0, 3.0, 0.0]])
    assert predictions.predicted.tolist() == [1, 0]
    assert predictions.confidence[1] == pytest.approx(1 / (2 + np.exp(-3)))


def random_logits(rows=400, classes=7, seed=0, sure=3.0):
    """Labels and logits that are right more often than not and `sure` times too large."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, sure * logits


@pytest.mark.parametrize("sure", [0.2, 1.0, 3.0, 40.0])
def test_fitted_temperature_is_the_minimiser_that_scipy_finds(sure):
    labels, logits = random_logits(sure=sure)
    logits = logits.astype(np.float32)
    found = temperature.fit(labels, logits)

    def loss(log_t):
        return -np.mean(log_softmax(logits.astype(float) / np.exp(log_t), axis=1)[range(400), labels])
    expected = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e3)), method="bounded", options={"xatol": 1e-12})
    # A minimum is known to the root of the digits that its value has.
    assert found == pytest.approx(np.exp(expected.x), rel=1e-6)
    assert temperature.nll(labels, logits, found) <= expected.fun + 1e-15
    assert found == temperature.fit(labels, logits), "the same to the bit"


def test_temperature_is_exact_and_follows_the_scale_of_the_logits():
    labels, logits = random_logits()
    one = temperature.fit(labels, logits)
    for factor in (0.125, 4.0):
        assert temperature.fit(labels, factor * logits) == pytest.approx(factor * one, rel=1e-10)
    assert temperature.fit(labels, logits / one) == pytest.approx(1.0, rel=1e-10)
    # The condition of a minimum: the mean logit under the softmax is that of the labels.
    share = softmax(logits / one, axis=1)
    assert np.mean((share * logits).sum(1) - logits[range(400), labels]) == pytest.approx(0, abs=1e-9)


def test_nll_by_hand_and_in_chunks(monkeypatch):
    assert temperature.nll([0, 1], [[0.0, 0.0], [0.0, 0.0]]) == pytest.approx(np.log(2))
    assert temperature.nll([0], [[2 * np.log(3.0), 0.0]], 2.0) == pytest.approx(-np.log(0.75))
    labels, logits = random_logits()
    whole = temperature.nll(labels, logits, 1.7), temperature.fit(labels, logits)
    monkeypatch.setattr(temperature, "CHUNK", 33)
    assert (temperature.nll(labels, logits, 1.7), temperature.fit(labels, logits)) == pytest.approx(whole, rel=1e-12)


def test_no_temperature_where_the_loss_has_no_minimum():
    labels, logits = random_logits(classes=3)
    assert temperature.fit(logits.argmax(1), logits) is None, "all right: the loss falls as the temperature does"
    assert temperature.fit(logits.argmin(1), logits) is None, "worse than chance: it falls as the temperature grows"
    assert temperature.fit([], np.zeros((0, 3))) is None
    assert temperature.fit(labels, np.zeros((400, 3))) is None
    # Two of three right by a gap of 300 logits: the share of the larger one is 2/3 at 300 / log 2.
    gaps = np.array([[300.0, 0.0], [0.0, 300.0], [300.0, 0.0]])
    assert temperature.fit([0, 1, 1], gaps) == pytest.approx(300 / np.log(2), rel=1e-10)
    assert temperature.fit([0, 1, 1], 1e4 * gaps) is None, "outside of what is called a temperature"


def test_summary_has_the_ece_of_every_group():
    predictions = Predictions([0, 0, 1, 2], [0, 1, 0, 2], np.array([0.75, 0.75, 0.5, 0.25]))
    groups = {"many": np.array([0]), "medium": np.array([1]), "few": np.array([], int)}
    found = calibration.summary(predictions, groups, 3)
    assert found["group_ece"] == {"all": found["ece"], "many": pytest.approx(0.25), "medium": 0.5, "few": None}
    assert found["ece"] == pytest.approx((2 * 0.25 + 0.5 + 0.75) / 4) and found["mce"] == pytest.approx(0.75)
    assert found["overconfidence"]["many"] == 0.25 and sum(found["reliability"]["count"]) == 4
