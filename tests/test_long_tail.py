"""Long-tailed splits: the published counts and indices, groups, validation split, fingerprint."""

import hashlib
import struct

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.long_tail import (
    class_counts,
    count_labels,
    fingerprint,
    long_tailed_counts,
    select_indices,
    shot_groups,
    validation_split,
)

# (classes, head, ratio): images, smallest class, sizes of many, medium and few, batches of 128, rows of the last.
PUBLISHED = {
    (100, 500, 100): (10847, 5, (35, 35, 30), 85, 95),
    (100, 500, 50): (12608, 10, (41, 41, 18), 99, 64),
    (100, 500, 20): (15907, 25, (53, 47, 0), 125, 35),
    (100, 500, 10): (19573, 50, (69, 31, 0), 153, 117),
    (10, 5000, 100): (12406, 50, (8, 2, 0), 97, 118),
    (10, 5000, 50): (13996, 100, (9, 1, 0), 110, 44),
    (10, 5000, 10): (20431, 500, (10, 0, 0), 160, 79),
}


@pytest.mark.parametrize("split", PUBLISHED)
def test_published_counts(split):
    num_images, smallest, group_sizes, batches, last = PUBLISHED[split]
    counts = class_counts(*split)
    assert all(type(count) is int for count in counts)
    assert (len(counts), counts[0], counts[-1], sum(counts)) == (split[0], split[1], smallest, num_images)
    assert counts == sorted(counts, reverse=True)
    groups = shot_groups(counts)
    assert list(groups) == ["many", "medium", "few"]
    assert tuple(map(len, groups.values())) == group_sizes
    np.testing.assert_array_equal(np.concatenate(list(groups.values())), np.arange(split[0]))
    assert divmod(num_images - last, 128) == (batches - 1, 0)


def test_ends_of_cifar100_at_ratio_100():
    counts = class_counts(100, 500, 100)
    assert counts[:4] == [500, 477, 455, 434] and counts[-5:] == [6, 5, 5, 5, 5]
    # The one class with exactly 20 images: it decides whether the medium bound is inclusive.
    assert np.flatnonzero(np.array(counts) == 20).tolist() == [69] and 69 in shot_groups(counts)["medium"]


def test_step_profile_and_degenerate_shapes():
    assert class_counts(5, 40, 10, "step") == [40, 40, 4, 4, 4]
    assert class_counts(4, 500, 100, profile="step") == [500, 500, 5, 5]
    assert class_counts(3, 7, 1) == class_counts(3, 7, 1, "step") == [7, 7, 7]
    assert class_counts(1, 7, 50) == [7]
    # Products are truncated, not rounded: 100 * 0.01 ** 0.5 is 10, 10 * (1/3) ** 0.5 is 5.77.
    assert class_counts(3, 10, 3) == [10, 5, 3]


@pytest.mark.parametrize("arguments, words", [
    ((10, 500, 0.5), "--imbalance_ratio=0.5"), ((10, 500, float("nan")), "--imbalance_ratio=nan"),
    ((10, 500, 10, "linear"), "--profile=linear.*exp, step"),
    ((0, 500, 10), "0 classes"), ((10, 0, 10), "10 classes of 0"),
])
def test_refused_counts(arguments, words):
    with pytest.raises(UserError, match=words):
        class_counts(*arguments)


def test_golden_indices_of_cifar10(golden):
    labels, published = golden("cifar10_train_labels")["labels"], golden("cifar10_lt_indices")
    assert labels.shape == (50000,) and (np.bincount(labels) == 5000).all()
    chosen = {}
    for ratio in (10, 50, 100):
        counts = class_counts(10, 5000, ratio)
        assert long_tailed_counts(np.bincount(labels), ratio) == counts
        chosen[ratio] = select_indices(labels, counts, seed=0)
        assert chosen[ratio].dtype == np.int64
        np.testing.assert_array_equal(labels[chosen[ratio]], np.repeat(np.arange(10), counts))
    for ratio in (10, 100):
        np.testing.assert_array_equal(chosen[ratio], published[f"ir{ratio}"])
        np.testing.assert_array_equal(class_counts(10, 5000, ratio), published[f"ir{ratio}_counts"])
    assert set(chosen[100]) < set(chosen[50]) < set(chosen[10])
    assert not np.array_equal(select_indices(labels, class_counts(10, 5000, 100), seed=1), chosen[100])


def test_cap_is_a_prefix_of_the_same_shuffles(golden):
    labels = golden("cifar10_train_labels")["labels"]
    full = select_indices(labels, class_counts(10, 5000, 100))
    counts = long_tailed_counts(np.bincount(labels), 100, max_per_class=1000)
    assert counts == class_counts(10, 1000, 100)
    capped = select_indices(labels, counts)
    for label, count in enumerate(counts):
        np.testing.assert_array_equal(capped[labels[capped] == label], full[labels[full] == label][:count])
    natural = long_tailed_counts([7, 300, 40], None, max_per_class=50)
    assert natural == [7, 50, 40] and long_tailed_counts([7, 300, 40], None) == [7, 300, 40]


def test_global_numpy_state_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    select_indices(np.arange(40) % 4, [9, 3, 2, 1], seed=5)
    validation_split(np.arange(40) % 4, np.arange(20), 0.2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_selection_needs_the_images():
    with pytest.raises(UserError, match="class 1 has 2 images, .* wants 3.*--max_per_class"):
        select_indices([0, 0, 0, 1, 1], [3, 3])
    assert select_indices([1, 0, 1], [0, 2]).tolist() in ([0, 2], [2, 0])
    assert select_indices([], []).size == 0


@pytest.mark.parametrize("available, ratio", [([178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 20),
                                             ([30, 1, 60, 2], 10), ([5, 5, 5], 1000), ([3, 0, 4], 2)])
def test_profile_over_unequal_classes(available, ratio):
    counts = long_tailed_counts(available, ratio)
    assert all(0 < want <= have or have == 0 == want for want, have in zip(counts, available, strict=True))
    head = counts[0]
    assert counts == [min(max(n, 1), have)
                      for n, have in zip(class_counts(len(available), head, ratio), available, strict=True)]


def test_group_bounds_and_empty_groups():
    groups = shot_groups([101, 100, 20, 19, 0])
    assert {name: list(classes) for name, classes in groups.items()} == {"many": [0], "medium": [1, 2], "few": [3, 4]}
    groups = shot_groups([500, 400])
    assert len(groups["many"]) == 2 and groups["medium"].size == groups["few"].size == 0
    moved = shot_groups([100, 20], many_above=99, few_below=21)
    assert moved["many"].tolist() == [0] and moved["few"].tolist() == [1]
    assert shot_groups([5, 6], many_above=5, few_below=6)["medium"].size == 0
    with pytest.raises(UserError, match="--few_below=7.*--many_above=5"):
        shot_groups([5, 6], many_above=5, few_below=7)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.45])
def test_validation_split(fraction):
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(10), 50))
    chosen = select_indices(labels, class_counts(10, 50, 25))
    train, validation = validation_split(labels, chosen, fraction, seed=4)
    assert not set(train) & set(validation)
    assert len(set(train)) == len(train) and len(set(validation)) == len(validation)
    assert set(train) <= set(chosen)
    quota = round(fraction * len(chosen) / 10)
    taken = np.bincount(labels[chosen], minlength=10) - np.bincount(labels[train], minlength=10)
    for label in range(10):
        kept, spare = np.sum(labels[chosen] == label), 50 - np.sum(labels[chosen] == label)
        # Unused images first; of the training split no more than the fraction, and never a whole class.
        assert taken[label] <= max(min(quota - min(spare, quota), int(fraction * kept)), 0)
        assert np.sum(labels[validation] == label) == min(spare, quota) + taken[label]
        assert np.sum(labels[train] == label) >= 1
    assert taken[0] > 0 and taken[9] == 0
    # The order of what stays is that of the published selection.
    np.testing.assert_array_equal(train, chosen[np.isin(chosen, train)])
    again = validation_split(labels, chosen, fraction, seed=4)
    np.testing.assert_array_equal(validation, again[1])
    assert not np.array_equal(validation, validation_split(labels, chosen, fraction, seed=5)[1])


def test_validation_of_single_images_and_none():
    labels = np.array([0, 0, 0, 0, 1])
    train, validation = validation_split(labels, np.arange(5), 0.0)
    assert train.tolist() == [0, 1, 2, 3, 4] and validation.size == 0 and validation.dtype == np.int64
    train, validation = validation_split(labels, np.arange(5), 0.5)
    assert train.tolist() == [0, 1, 2, 4] and validation.tolist() == [3]
    for fraction in (-0.1, 1.0):
        with pytest.raises(UserError, match="--val_fraction"):
            validation_split(labels, np.arange(5), fraction)


def test_fingerprint():
    # Fixed for ever: runs store it and refuse to resume on other data.
    assert fingerprint([1, 2, 3]) == hashlib.sha256(struct.pack("<4q", 3, 1, 2, 3)).hexdigest()
    assert fingerprint(np.array([1, 2, 3], np.int32)) == fingerprint([1, 2, 3]) == fingerprint(np.arange(0, 8)[1:4])
    assert fingerprint(np.arange(8)[::2]) == fingerprint([0, 2, 4, 6])
    different = [fingerprint([1, 2], [3]), fingerprint([1], [2, 3]), fingerprint([1, 2, 3]), fingerprint([2, 1, 3]),
                 fingerprint([1, 2, 3], [])]
    assert len(set(different)) == 5


def test_count_labels():
    assert count_labels(np.array([0, 2, 2], np.uint8), 5).tolist() == [1, 0, 2, 0, 0]
