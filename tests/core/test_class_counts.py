"""Arithmetic on class counts."""

import numpy as np
import pytest

from cmo_tf.core.class_counts import check_counts, effective_number, effective_number_weights
from cmo_tf.core.errors import UserError

CIFAR100_LT = [int(500 * 0.01 ** (k / 99)) for k in range(100)]


def test_published_weights():
    weights = effective_number_weights(CIFAR100_LT)
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights[[0, 50, 99]], [0.0449, 0.4571, 4.3783], atol=5e-5)
    np.testing.assert_allclose(weights.sum(), 100, rtol=1e-12)


def test_effective_number():
    np.testing.assert_allclose(effective_number([1, 2, 3], 0.5), [1, 1.5, 1.75])
    np.testing.assert_allclose(effective_number([1, 500], 0.0), [1, 1])
    beta = (10847 - 1) / 10847
    np.testing.assert_allclose(effective_number(CIFAR100_LT, beta)[[0, -1]], [488.7, 4.999], rtol=1e-4)
    np.testing.assert_array_equal(effective_number_weights([7, 3, 9], 0.0), [1, 1, 1])


def test_empty_class_weighs_nothing():
    weights = effective_number_weights([10, 0, 5])
    assert weights[1] == 0 and weights.sum() == pytest.approx(3)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 2.0, float("nan")])
def test_bad_beta(beta):
    with pytest.raises(UserError, match="beta"):
        effective_number([1, 2], beta)


@pytest.mark.parametrize("counts", [[], [[1, 2]], [1, -1], [1, float("nan")], [0, 0], 3, {0: 5, 1: 2}])
def test_bad_counts(counts):
    with pytest.raises(UserError, match="class_counts"):
        check_counts(counts)


def test_error_names_the_class():
    with pytest.raises(UserError, match="class 2"):
        check_counts([5, 3, -1])
