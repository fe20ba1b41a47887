import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from cmo_tf.evaluation import metrics
from cmo_tf.long_tail import shot_groups

CLASSES = 7


@pytest.fixture
def labels_and_predicted():
    rng = np.random.default_rng(3)
    labels = rng.choice(CLASSES, 400, p=np.arange(1, CLASSES + 1) / 28)
    return labels, np.where(rng.random(400) < 0.6, labels, rng.integers(0, CLASSES, 400))


def test_micro_macro_and_confusion_are_those_of_sklearn(labels_and_predicted):
    labels, predicted = labels_and_predicted
    assert metrics.micro_accuracy(labels, predicted) == 100 * accuracy_score(labels, predicted)
    macro = metrics.macro_accuracy(labels, predicted, CLASSES)
    assert macro == pytest.approx(100 * balanced_accuracy_score(labels, predicted), rel=1e-14)
    expected = confusion_matrix(labels, predicted, labels=range(CLASSES))
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, predicted, CLASSES), expected)


def test_per_class_is_the_diagonal_over_the_row_sum(labels_and_predicted):
    labels, predicted = labels_and_predicted
    matrix = confusion_matrix(labels, predicted, labels=range(CLASSES))
    expected = 100 * matrix.diagonal() / matrix.sum(axis=1)
    np.testing.assert_allclose(metrics.per_class_accuracy(labels, predicted, CLASSES), expected, rtol=1e-14)


def test_group_value_is_the_mean_of_class_accuracies_and_all_is_micro():
    labels = np.array([0, 0, 0, 0, 1, 2, 2, 3])
    predicted = np.array([0, 0, 0, 1, 1, 2, 0, 0])
    groups = shot_groups([200, 101, 50, 3])
    accuracy = metrics.accuracy_by_group(labels, predicted, groups, 4)
    assert accuracy == {"all": 62.5, "many": (75 + 100) / 2, "medium": 50.0, "few": 0.0}


def test_groups_may_be_masks_or_indices_and_missing_or_untested_ones_are_none():
    labels, predicted = np.array([0, 1]), np.array([0, 0])
    masks = {"many": np.array([True, False, False]), "few": np.array([False, False, True])}
    indices = {"many": np.array([0]), "medium": [], "few": np.array([2])}
    expected = {"all": 50.0, "many": 100.0, "medium": None, "few": None}
    assert metrics.accuracy_by_group(labels, predicted, masks, 3) == expected
    assert metrics.accuracy_by_group(labels, predicted, indices, 3) == expected


def test_class_without_test_images_is_left_out_of_the_means():
    per_class = metrics.per_class_accuracy([0, 0, 2], [0, 1, 2], 3)
    np.testing.assert_array_equal(per_class, [50.0, np.nan, 100.0])
    assert metrics.macro_accuracy([0, 0, 2], [0, 1, 2], 3) == 75.0


def test_empty_test_set_and_single_class():
    assert metrics.accuracy_by_group([], [], {}, 2) == {"all": None, "many": None, "medium": None, "few": None}
    assert metrics.macro_accuracy([0, 0], [0, 0], 1) == 100.0
    assert metrics.confusion_matrix([0, 0], [0, 0], 1).tolist() == [[2]]


def test_sparse_confusion_holds_the_same_counts(labels_and_predicted):
    labels, predicted = labels_and_predicted
    pairs = metrics.confusion_pairs(labels, predicted)
    dense = np.zeros((CLASSES, CLASSES), int)
    dense[pairs[:, 0], pairs[:, 1]] = pairs[:, 2]
    np.testing.assert_array_equal(dense, metrics.confusion_matrix(labels, predicted, CLASSES))
    assert (np.diff(pairs[:, 2]) <= 0).all()


@pytest.mark.parametrize("labels, predicted", [([0, 3], [0, 0]), ([0, 0], [0, -1])])
def test_class_out_of_range_is_an_error(labels, predicted):
    with pytest.raises(ValueError, match="allowed are 0 to 2"):
        metrics.confusion_matrix(labels, predicted, 3)


def test_predictions_fix_dtypes_and_shapes():
    predictions = metrics.Predictions([1, 0], np.array([1, 1], np.int32), [0.5, 1.0])
    assert [x.dtype for x in vars(predictions).values()] == [np.int64, np.int64, np.float32]
    assert len(predictions) == 2
    with pytest.raises(ValueError, match="one entry an image"):
        metrics.Predictions([1, 0], [1], [0.5, 1.0])
