"""epoch_plan and philox: what TensorFlow's ops and the program's stream draw, in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import train_stream
from cmo_tf.sampling import philox
from cmo_tf.sampling.epoch_plan import epoch_plan, shares

SEEDS = np.array([[5, 7], [-3, 2**40], [0, 0]], np.int64)
LABELS = np.repeat(np.arange(4), [30, 11, 4, 2])
IMAGES = np.random.default_rng(0).integers(0, 256, (len(LABELS), 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("number", [1, 4, 13])
def test_draws_are_those_of_tensorflow(number):
    for seed, ours, ours32, folded, parts in zip(
            SEEDS, philox.uniform(SEEDS, number), philox.uniform32(SEEDS, number), philox.fold_in(SEEDS, number),
            philox.split(SEEDS, number), strict=True):
        theirs = tf.random.stateless_uniform([number], seed, dtype=tf.float64)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours32, tf.random.stateless_uniform([number], seed))
        np.testing.assert_array_equal(
            folded, tf.random.experimental.stateless_fold_in(tf.constant(seed), tf.constant(number, tf.int64)))
        np.testing.assert_array_equal(parts, tf.random.experimental.stateless_split(tf.constant(seed), number))


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_permutations_are_those_of_tensorflow(size):
    for seed in SEEDS:
        theirs = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), seed)
        np.testing.assert_array_equal(philox.permutation(size, seed), theirs)


@pytest.mark.parametrize("batch_size", [8, 47, 100])
def test_a_plan_is_what_the_stream_of_the_program_holds(batch_size):
    """Indices, labels, boxes and, by the crops and flips, every pixel, in two epochs with a short last batch."""
    stream = iter(train_stream(IMAGES, LABELS, batch_size=batch_size, seed=3, augment="pad4_flip", probability=0.6))
    mixed = 0
    for epoch in range(2):
        plan = epoch_plan(LABELS, epoch, batch_size=batch_size, seed=3, probability=0.6)
        for start in range(0, len(LABELS), batch_size):
            rows = {name: column[start:start + batch_size] for name, column in plan.items()}
            batch = {name: column.numpy() for name, column in next(stream).items()}
            for name in ("index", "index_q", "box"):
                np.testing.assert_array_equal(rows[name], batch[name], err_msg=name)
            np.testing.assert_array_equal(shares(rows["box"]), batch["lam"])
            np.testing.assert_array_equal(crops(rows, ""), batch["image"])
            if rows["mixed"].any():
                np.testing.assert_array_equal(crops(rows, "_q"), batch["image_q"])
            mixed += rows["mixed"].any()
    assert mixed


def crops(rows, suffix):
    """The pixels that a plan names, by slices."""
    padded = np.pad(IMAGES, [(0, 0), (4, 4), (4, 4), (0, 0)])
    columns = (rows[f"index{suffix}"], rows[f"corner{suffix}"], rows[f"flip{suffix}"])
    images = [(padded[i, top:top + 32, left:left + 32], flip) for i, (top, left), flip in zip(*columns, strict=True)]
    return np.stack([image[:, ::-1] if flip else image for image, flip in images])


def test_an_epoch_is_a_permutation_and_outside_of_the_window_nothing_is_mixed():
    plan = epoch_plan(LABELS, 5, batch_size=10, seed=0, probability=0.0)
    assert sorted(plan["index"]) == list(range(len(LABELS)))
    assert not plan["box"].any() and not plan["mixed"].any()
    np.testing.assert_array_equal(plan["index_q"], plan["index"])


@pytest.mark.parametrize("changed, said", [
    ({"batch_size": 0}, "batch_size 0"), ({"probability": 1.5}, "probability 1.5"), ({"labels": [0.5]}, "row 0")])
def test_bad_arguments_are_named(changed, said):
    with pytest.raises(UserError, match=said):
        epoch_plan(**{"labels": LABELS, "epoch": 0, "batch_size": 8, "seed": 0, **changed})
