"""Promise 15, first part: what holds for all boxes, splits, draws from Q and checkpoints, not only for the published
ones. Flags: tests/config/test_config.py, where every Config makes the round trip through a flag file."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from cmo_tf import long_tail, sampling
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.source import held_out
from cmo_tf.mixing.boxes import cut_box
from cmo_tf.run import checkpoint

FAST = settings(max_examples=100, deadline=None, derandomize=True,
                suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(FAST, max_examples=20_000, derandomize=False)
SIDES = st.integers(1, 4096)
LAMS = st.floats(0, 1)
COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=60).filter(any)
LABELS = st.lists(st.integers(0, 11), min_size=1, max_size=200).map(np.array)


def box_lies_inside_and_is_cut_from_its_square(lam, height, width, place):
    """0 <= y0 <= y1 <= height; never longer than side * sqrt(1 - lam), exactly so (even) away from the borders."""
    y, x = int(place[0] * (height - 1)), int(place[1] * (width - 1))
    y0, x0, y1, x1 = cut_box(lam, y, x, height, width)
    for low, high, side, centre in ((y0, y1, height, y), (x0, x1, width, x)):
        cut = int(side * np.sqrt(1 - lam))
        assert 0 <= low <= centre and low <= high <= side and high - low <= cut // 2 * 2
        if cut // 2 <= centre <= side - cut // 2:
            assert high - low == cut // 2 * 2
    assert cut_box(np.array([lam]), np.array([y]), x, height, width)[2][0] == y1  # scalars and arrays alike
    larger = cut_box(lam / 2, y, x, height, width)
    assert larger[0] <= y0 and larger[1] <= x0 and larger[2] >= y1 and larger[3] >= x1


BOX = dict(lam=LAMS, height=SIDES, width=SIDES, place=st.tuples(LAMS, LAMS))


@FAST
@given(**BOX)
def test_boxes(lam, height, width, place):
    box_lies_inside_and_is_cut_from_its_square(lam, height, width, place)


@pytest.mark.faults
@LONG
@given(**BOX)
def test_boxes_long(lam, height, width, place):
    box_lies_inside_and_is_cut_from_its_square(lam, height, width, place)


def counts_fall_and_are_available(available, ratio, profile, cap):
    """Never more than there is, never none of a class that has some, within the cap, falling where the set is even."""
    counts = long_tail.long_tailed_counts(available, ratio, profile, cap)
    assert all(min(have, 1) <= n <= have for n, have in zip(counts, available, strict=True))
    assert cap is None or max(counts) <= cap
    even = long_tail.class_counts(len(available), max(available), ratio or 1, profile)
    assert even == sorted(even, reverse=True) and even[0] == max(available)
    assert even[-1] == int(max(available) * (1 / (ratio or 1))) or len(even) == 1 or ratio is None


SPLIT = dict(available=st.lists(st.integers(1, 5000), min_size=1, max_size=40),
             profile=st.sampled_from(["exp", "step"]),
             ratio=st.none() | st.floats(1, 1000), cap=st.none() | st.integers(1, 6000))


@FAST
@given(**SPLIT)
def test_counts(available, ratio, profile, cap):
    counts_fall_and_are_available(available, ratio, profile, cap)


@FAST
@given(labels=LABELS, share=LAMS, seed=st.integers(0, 2**32 - 1))
def test_selected_indices(labels, share, seed):
    """Right numbers of the right classes, none twice, the same again; of fewer images a part of those of more."""
    have = np.bincount(labels, minlength=12)
    more, fewer = (have * share).astype(int), (have * share / 2).astype(int)
    chosen, part = (long_tail.select_indices(labels, counts, seed) for counts in (more, fewer))
    assert len(set(chosen.tolist())) == len(chosen) and np.array_equal(np.bincount(labels[chosen], minlength=12), more)
    assert set(part.tolist()) <= set(chosen.tolist())
    np.testing.assert_array_equal(chosen, long_tail.select_indices(labels, more, seed))
    order = labels[chosen]
    assert np.array_equal(order, np.sort(order))  # class after class


@FAST
@given(labels=LABELS, fraction=st.floats(0, 0.5), seed=st.integers(0, 1000), share=LAMS)
def test_validation_and_held_out_splits(labels, fraction, seed, share):
    """Disjoint, of the right size, and no class loses its last training image."""
    train = long_tail.select_indices(labels, np.ceil(np.bincount(labels) * share).astype(int), seed)
    left, validation = long_tail.validation_split(labels, train, fraction, seed)
    assert not set(left.tolist()) & set(validation.tolist()) and set(left.tolist()) <= set(train.tolist())
    assert set(labels[left].tolist()) == set(labels[train].tolist())
    assert len(set(validation.tolist())) == len(validation) and (fraction > 0 or not len(validation))
    assert long_tail.fingerprint(left, validation) != long_tail.fingerprint(np.append(left, 0), validation)
    if 0 < fraction:
        mask = held_out(labels, fraction, seed)
        assert set(labels[~mask].tolist()) == set(labels.tolist())


@FAST
@given(counts=COUNTS, many=st.integers(0, 10**6), few=st.integers(0, 10**6))
def test_every_class_is_in_one_shot_group(counts, many, few):
    assume(few <= many + 1)
    groups = long_tail.shot_groups(counts, many, few)
    assert np.sort(np.concatenate(list(groups.values()))).tolist() == list(range(len(counts)))
    assert all(counts[k] > many for k in groups["many"]) and all(counts[k] < few for k in groups["few"])


Q = dict(counts=COUNTS, power=st.floats(-50, 50), kind=st.sampled_from(sampling.KINDS),
         level=st.sampled_from(sampling.LEVELS))


def q_is_a_distribution(counts, power, kind, level):
    """Sums to 1, nothing for empty classes, equal for equal counts, and more power never helps the largest class."""
    counts = np.array(counts)
    q = sampling.class_distribution(counts, power, kind, level)
    assert np.isfinite(q).all() and (q >= 0).all() and abs(q.sum() - 1) < 1e-9 and not q[counts == 0].any()
    for n in set(counts.tolist()):
        assert np.ptp(q[counts == n]) < 1e-12
    more = sampling.class_distribution(counts, power + 0.5, kind, level)
    assert more[counts.argmax()] <= q[counts.argmax()] + 1e-9
    plain = sampling.class_distribution(counts, 0.0, kind, level)
    np.testing.assert_allclose(plain, counts / counts.sum() if level == "image" else (counts > 0) / (counts > 0).sum())


@FAST
@given(**Q)
def test_q(counts, power, kind, level):
    q_is_a_distribution(counts, power, kind, level)


@pytest.mark.faults
@LONG
@given(**Q)
def test_q_long(counts, power, kind, level):
    q_is_a_distribution(counts, power, kind, level)


@FAST
@given(labels=LABELS, power=st.floats(-3, 3), uniform=arrays_of.arrays(np.float64, 20, elements=st.floats(
    0, 1, exclude_max=True)))
def test_draws_from_q(labels, power, uniform):
    """Every uniform number finds an image of the class that it falls into, one that can be drawn."""
    q = sampling.class_distribution(np.bincount(labels, minlength=12), power)
    table = sampling.class_table(labels, q)
    drawn = np.searchsorted(table.cumulative, uniform, side="right")
    assert (drawn < 12).all() and (q[drawn] > 0).all() and (table.size[drawn] > 0).all()
    row = table.order[table.start[drawn] + (uniform * table.size[drawn]).astype(int)]
    np.testing.assert_array_equal(labels[row], drawn)


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\", exclude_categories=("Cc", "Cs")), min_size=1,
               max_size=30).map("00001:{}".format)
DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_])
ARRAYS = st.dictionaries(KEYS, DTYPES.flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(
    min_dims=0, max_dims=3, min_side=0, max_side=4))), max_size=5)
PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.text(max_size=9) |
                     st.floats(allow_nan=False, allow_infinity=False), lambda x: st.lists(x, max_size=3) |
                     st.dictionaries(st.text(max_size=5), x, max_size=3), max_leaves=8)
META = st.dictionaries(st.text(max_size=9), PLAIN, max_size=4)
BYTE = st.tuples(st.sampled_from(["arrays.npz", "meta.json", "SHA256SUMS"]), st.floats(0, 1, exclude_max=True),
                 st.integers(1, 255))


def what_is_saved_comes_back(folder, arrays, meta, step, damage):
    """Arrays to the bit and metadata as they were; with any one byte changed that, or a refusal."""
    store = checkpoint.CheckpointStore(str(folder))
    store.save(step, arrays, meta)
    assert_back(checkpoint.read(store.path(step)), arrays, meta, step)
    name, place, bits = damage
    path = f"{store.path(step)}/{name}"
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        content[int(place * len(content))] ^= bits
        file.seek(0)
        file.write(content)
    try:
        found = checkpoint.read(store.path(step))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert name == "SHA256SUMS"  # a blank for a blank
        assert_back(found, arrays, meta, step)


def assert_back(found, arrays, meta, step):
    assert found[1] == {**meta, "step": step} and list(found[0]) == list(arrays)
    for name, array in arrays.items():
        assert found[0][name].dtype == array.dtype and found[0][name].shape == array.shape
        assert found[0][name].tobytes() == array.tobytes()


CHECKPOINT = dict(arrays=ARRAYS, meta=META, step=st.integers(0, 10**10 - 1), damage=BYTE)


@settings(FAST, max_examples=40)
@given(**CHECKPOINT)
def test_checkpoints(tmp_path_factory, arrays, meta, step, damage):
    what_is_saved_comes_back(tmp_path_factory.mktemp("store"), arrays, meta, step, damage)


@pytest.mark.faults
@settings(LONG, max_examples=3000)
@given(**CHECKPOINT)
def test_checkpoints_long(tmp_path_factory, arrays, meta, step, damage):
    what_is_saved_comes_back(tmp_path_factory.mktemp("store"), arrays, meta, step, damage)
