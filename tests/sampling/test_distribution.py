"""Q: class marginals of every reading of Eq. 2 and 3, and the tables that a draw needs."""

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.long_tail import class_counts, shot_groups
from cmo_tf.sampling import class_distribution, class_table

COUNTS = class_counts(100, 500, 100)
# Mass on many, medium and few at CIFAR-100-LT ratio 100 (methods of the paper, supplement Table 10).
MASSES = [
    (dict(power=0.0), (0.813, 0.158, 0.028)),
    (dict(power=0.5), (0.620, 0.273, 0.107)),
    (dict(power=1.0), (0.350, 0.350, 0.300)),
    (dict(power=2.0), (0.038, 0.194, 0.768)),
    (dict(kind="effective"), (0.352, 0.349, 0.299)),
    (dict(power=0.5, level="class"), (0.134, 0.304, 0.562)),
    (dict(power=1.0, level="class"), (0.038, 0.194, 0.768)),
    (dict(power=2.0, level="class"), (0.002, 0.054, 0.944)),
    (dict(kind="effective", level="class"), (0.038, 0.195, 0.767)),
]


@pytest.mark.parametrize("options, masses", MASSES)
def test_published_masses(options, masses):
    q = class_distribution(COUNTS, **options)
    assert q.dtype == np.float64 and q.shape == (100,) and q.sum() == pytest.approx(1, abs=1e-12)
    found = [q[classes].sum() for classes in shot_groups(COUNTS).values()]
    np.testing.assert_allclose(found, masses, atol=0.00051)


def test_closed_forms():
    n = np.array([50.0, 8, 3])
    np.testing.assert_allclose(class_distribution(n, 0.5), n**0.5 / (n**0.5).sum(), rtol=1e-12)
    np.testing.assert_allclose(class_distribution(n), np.full(3, 1 / 3), rtol=1e-12)
    np.testing.assert_allclose(class_distribution(n, 2), (1 / n) / (1 / n).sum(), rtol=1e-12)
    np.testing.assert_allclose(class_distribution(n, 2, level="class"), n**-2 / (n**-2).sum(), rtol=1e-12)
    np.testing.assert_allclose(class_distribution(n, 2, level="image"), class_distribution(n, 1, level="class"))
    for beta in (None, 0.9, 0.0):
        b = 60 / 61 if beta is None else beta  # (N - 1) / N with N = 61 images
        weight = (1 - b) / (1 - b**n)
        np.testing.assert_allclose(class_distribution(n, kind="effective", beta=beta), n * weight / (n @ weight))
        np.testing.assert_allclose(class_distribution(n, 2, "effective", "class", beta), weight**2 / (weight @ weight))


@pytest.mark.parametrize("kind", ["inverse", "effective"])
@pytest.mark.parametrize("level", ["image", "class"])
def test_empty_classes_get_nothing(kind, level):
    q = class_distribution([9, 0, 3, 0], 1.5, kind, level)
    np.testing.assert_allclose(q[[0, 2]], class_distribution([9, 3], 1.5, kind, level), rtol=1e-12)
    assert q[1] == q[3] == 0
    np.testing.assert_array_equal(class_distribution([0, 4], 2.0, kind, level), [0, 1])
    np.testing.assert_array_equal(class_distribution([1], 2.0, kind, level), [1])


@pytest.mark.parametrize("power", [200.0, 1000.0, -1000.0])
def test_large_powers_neither_overflow_nor_vanish(power):
    q = class_distribution([10**6, 10**6, 10**3, 5], power)
    assert np.isfinite(q).all() and q.sum() == pytest.approx(1)
    np.testing.assert_allclose(q, [0, 0, 0, 1] if power > 0 else [0.5, 0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("arguments, words", [
    (([1, 2], 1.0, "sqrt"), "--q_kind=sqrt.*inverse, effective"), (([1, 2], 1.0, "inverse", "row"), "--q_level=row"),
    (([1, 2], float("nan")), "--q_power=nan"), (([1, 2], float("inf")), "--q_power"),
    (([0, 0],), "every class is empty"), (([3, -1],), "class 1"), (([],), "class_counts"), (([[1]],), "class_counts"),
])
def test_refused_distributions(arguments, words):
    with pytest.raises(UserError, match=words):
        class_distribution(*arguments)


def test_class_table():
    labels = np.array([2, 0, 2, 2, 0, 4], np.uint8)
    table = class_table(labels, [0.25, 0, 0.5, 0, 0.25, 0])
    assert [table[i].dtype for i in range(4)] == [np.int64, np.int64, np.int64, np.float64]
    np.testing.assert_array_equal(table.size, [2, 0, 3, 0, 1, 0])
    for label, rows in {0: [1, 4], 2: [0, 2, 3], 4: [5]}.items():
        assert table.order[table.start[label]:table.start[label] + table.size[label]].tolist() == rows
    np.testing.assert_allclose(table.cumulative, [0.25, 0.25, 0.75, 0.75, 1, 1])
    with pytest.raises(UserError, match="class 1 has no image.*0.1"):
        class_table(labels, [0.5, 0.1, 0.4, 0, 0])


@pytest.mark.parametrize("tail", [0, 1, 7])
def test_no_draw_falls_behind_the_last_held_class(tail):
    """Rounding leaves the sum of many shares below 1; a uniform number just below 1 must still find a class."""
    for num_classes in (10, 49, 1000):
        distribution = np.append(np.full(num_classes, 1 / num_classes), np.zeros(tail))
        table = class_table(np.arange(num_classes), distribution)
        last = np.searchsorted(table.cumulative, np.nextafter(1.0, 0.0), side="right")
        assert last == num_classes - 1 and table.size[last] == 1
        assert np.searchsorted(table.cumulative, 0.0, side="right") == 0
