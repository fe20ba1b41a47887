import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from cmo_tf.evaluation import calibration
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
