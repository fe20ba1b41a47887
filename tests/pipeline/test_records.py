"""Q from record streams: rejection and interleave follow Q, resume exactly and decode late; zipping P and Q."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import minority_stream, zip_streams
from cmo_tf.sampling import class_distribution
from tests.support.streams import assert_same, batches, column, small_set

METHODS = ["rejection", "interleave"]
COUNTS = np.array([300, 120, 60, 15, 5])
LABELS = np.random.RandomState(0).permutation(np.repeat(np.arange(5), COUNTS))


def records(labels=LABELS):
    """Dataset of (row number, label)."""
    return tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels))


def draw(number, method="rejection", **options):
    """(rows, labels) of the first draws of a stream over the 500 records."""
    stream = minority_stream(records(), COUNTS, method=method, shuffle_buffer=500, **options)
    rows, labels = next(iter(stream.batch(number)))
    return rows.numpy(), labels.numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [dict(power=0.5), dict(power=1.0), dict(power=2.0),
                                     dict(distribution=[0.0, 0.7, 0.0, 0.3, 0.0])])
def test_class_marginals(method, options):
    rows, labels = draw(1500, method, seed=3, **options)
    np.testing.assert_array_equal(labels, LABELS[rows])
    q = np.array(options["distribution"]) if "distribution" in options else class_distribution(COUNTS, **options)
    found = np.bincount(labels, minlength=5)
    assert (found[q == 0] == 0).all()
    assert stats.chisquare(found[q > 0], q[q > 0] * 1500).pvalue > 1e-4
    # From the first draws on, not on average over the stream only.
    first = np.concatenate([labels[:60], *(draw(60, method, seed=seed, **options)[1] for seed in range(3))])
    assert stats.chisquare(np.bincount(first, minlength=5)[q > 0], q[q > 0] * 240).pvalue > 1e-4
    # Inside a class all images are drawn alike.
    for label in np.flatnonzero(q):
        assert stats.chisquare(np.bincount(rows, minlength=500)[LABELS == label]).pvalue > 1e-4


@pytest.mark.parametrize("empty", [0, 2, 4])
@pytest.mark.parametrize("method", METHODS)
def test_classes_without_images(method, empty):
    counts = np.where(np.arange(5) == empty, 0, 30)
    stream = minority_stream(records(np.repeat(np.arange(5), counts)), counts, method=method, seed=1)
    labels = next(iter(stream.map(lambda _, label: label).batch(800))).numpy()
    found = np.delete(np.bincount(labels, minlength=5), empty)
    assert empty not in labels and stats.chisquare(found).pvalue > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_pure_function_of_seed_and_epoch(method):
    base = draw(200, method, seed=5, epoch=2)[0]
    np.testing.assert_array_equal(draw(200, method, seed=5, epoch=2)[0], base)
    others = [draw(200, method, **options)[0] for options in (
        dict(seed=5, epoch=3), dict(seed=6, epoch=2), dict(seed=2, epoch=5), dict(seed=5 + 2**32, epoch=2))]
    for other in others:
        assert np.mean(other == base) < 0.3
    for start in (1, 77):
        np.testing.assert_array_equal(draw(200 - start, method, seed=5, epoch=2, start=start)[0], base[start:])


@pytest.mark.parametrize("method", METHODS)
def test_decoding_comes_after_selection_and_skipping(method):
    calls = []

    def decode(row):
        def read(number):
            calls.append(int(number))
            return np.full((2, 2, 1), int(number) % 256, "uint8")
        return tf.ensure_shape(tf.numpy_function(read, [row], tf.uint8), (2, 2, 1))

    plain = draw(420, method, seed=4)[0]
    stream = minority_stream(records(), COUNTS, method=method, seed=4, start=400, decode=decode, shuffle_buffer=500)
    images, labels = next(iter(stream.batch(20)))
    np.testing.assert_array_equal(images[:, 0, 0, 0], plain[400:] % 256)
    np.testing.assert_array_equal(labels, LABELS[plain[400:]])
    assert set(plain[400:]) <= set(calls) and len(calls) < 200, "skipped or rejected records were decoded"


def test_high_rejection_is_quiet(capfd):
    """rejection_resample alone prints a line an element once it rejects more than half."""
    labels = np.repeat([0, 1, 2], [3000, 40, 3])
    stream = minority_stream(records(labels), [3000, 40, 3], power=2.0, seed=1)
    drawn = next(iter(stream.map(lambda _, label: label).batch(60))).numpy()
    assert np.mean(drawn == 2) > 0.8
    assert capfd.readouterr() == ("", "")


def test_interleave_goes_through_a_class_before_repeating():
    rows, labels = draw(600, "interleave", seed=9)
    mine = rows[labels == 3]
    for start in range(0, len(mine) - 15, 15):
        assert len(set(mine[start:start + 15])) == 15


def test_refusals():
    with pytest.raises(UserError, match="--q_source=interleave: 257 classes.*256.*--q_source=rejection"):
        minority_stream(records(np.arange(257)), np.ones(257), method="interleave")
    everything = records(np.arange(257))
    minority_stream(everything, np.append(np.ones(256), 0), method="interleave", readers=lambda label: everything)
    with pytest.raises(UserError, match="--q_source=index"):
        minority_stream(records(), COUNTS, method="index")
    with pytest.raises(UserError, match="class_counts"):
        minority_stream(records(), [3, -1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change, words", [
    (lambda pairs: pairs.batch(8), r"int64 of shape \(None,\), not single integers; call .unbatch\(\)"),
    (lambda pairs: pairs.map(lambda row, label: (row, tf.one_hot(label, 5))), r"float32 of shape \(5,\).*tf.argmax"),
    (lambda pairs: pairs.map(lambda row, label: {"row": row, "label": label}), "not of pairs"),
    (lambda pairs: pairs.map(lambda row, label: row), "not of pairs"),
], ids=["batched", "one_hot", "dict", "alone"])
def test_sets_of_another_form_are_refused(method, change, words):
    with pytest.raises(UserError, match=words):
        minority_stream(change(records()), COUNTS, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_have_no_count_stop_it(method):
    """Interleave left the class out without a word."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="a label is not in 0..3; class_counts needs one"):
        next(iter(minority_stream(records(), COUNTS[:4], method=method, shuffle_buffer=500)))
    with pytest.raises(UserError, match="class_counts: a dict; give one number a class"):
        minority_stream(records(), dict(enumerate(COUNTS)), method=method)


def test_labels_of_one_byte():
    pairs = records(LABELS.astype("uint8"))
    drawn = next(iter(minority_stream(pairs, COUNTS, seed=3, shuffle_buffer=500).batch(50)))
    assert drawn[1].dtype == tf.uint8
    np.testing.assert_array_equal(drawn[1], draw(50, seed=3)[1])


IMAGES, SMALL_LABELS = small_set()


def pairs(start=0):
    """Endless stream of (image, label)."""
    order = np.roll(np.arange(37), -start)
    return tf.data.Dataset.from_tensor_slices((IMAGES[order], SMALL_LABELS[order])).repeat()


@pytest.mark.parametrize("options", [{}, {"probability": 1.0, "alpha": 0.3, "mix_steps": (1, 4)}])
def test_zip_has_the_plan_of_train_stream(options):
    zipped = zip_streams(pairs().take(37), pairs(5), 8, seed=7, start_step=3, **options)
    found = [{k: v.numpy() for k, v in batch.items()} for batch in zipped]
    planned = batches(5, start_step=5, **options)  # five batches from an epoch's start: 8, 8, 8, 8, 5 rows
    assert [len(batch["label"]) for batch in found] == [8, 8, 8, 8, 5]
    np.testing.assert_array_equal(column(found, "image"), IMAGES)
    np.testing.assert_array_equal(column(found, "label"), SMALL_LABELS)
    shifted = zip_streams(pairs().take(37), pairs(5), 8, seed=7, start_step=5, **options)
    shifted = [{k: v.numpy() for k, v in batch.items()} for batch in shifted]
    kinds = set()
    for step, (batch, plan) in enumerate(zip(shifted, planned, strict=True)):
        assert set(batch) == {"image", "label", "image_q", "label_q", "lam", "box"}
        for name in ("lam", "box"):
            assert batch[name].dtype == plan[name].dtype
            np.testing.assert_array_equal(batch[name], plan[name])
        mixed = plan["image_q"].any()
        rows = (np.arange(len(batch["label"])) + 8 * step + 5) % 37
        np.testing.assert_array_equal(batch["image_q"], IMAGES[rows] if mixed else np.zeros_like(batch["image"]))
        np.testing.assert_array_equal(batch["label_q"], SMALL_LABELS[rows] if mixed else batch["label"])
        kinds.add(bool(mixed))
    # start_step moves the plan, not the rows.
    np.testing.assert_array_equal(found[2]["lam"], shifted[0]["lam"])
    assert options or kinds == {True, False}
    if "mix_steps" in options:
        assert [bool(batch["image_q"].any()) for batch in found] == [True, False, False, False, False]


def test_zip_without_a_seed_leaves_the_plan_to_the_layer():
    found = list(zip_streams(pairs().take(20), pairs(1), 8))
    assert [len(batch["label"]) for batch in found] == [8, 8, 4]
    for i, batch in enumerate(found):
        assert set(batch) == {"image", "label", "image_q", "label_q"}
        assert batch["label"].dtype == batch["label_q"].dtype == tf.int32
        rows = np.arange(8 * i, 8 * i + len(batch["label"]))
        np.testing.assert_array_equal(batch["image"], IMAGES[rows])
        np.testing.assert_array_equal(batch["image_q"], IMAGES[rows + 1])
        np.testing.assert_array_equal(batch["label_q"], SMALL_LABELS[rows + 1])
    # A finite Q that ends early ends the zip.
    assert len(list(zip_streams(pairs().take(24), pairs().take(16), 8))) == 2


@pytest.mark.parametrize("method", METHODS)
def test_train_stream_with_record_draws(method):
    options = dict(q_source=method, probability=1.0, q_power=2.0)
    whole = batches(12, **options)
    for start in (4, 11):
        assert_same(whole[start:start + 1], batches(1, start_step=start, **options))
    indexed = batches(12, probability=1.0, q_power=2.0)
    for batch, other in zip(whole, indexed, strict=True):
        np.testing.assert_array_equal(batch["index"], other["index"])
        np.testing.assert_array_equal(batch["box"], other["box"])
        np.testing.assert_array_equal(batch["image_q"], IMAGES[batch["index_q"]])
        np.testing.assert_array_equal(batch["label_q"], SMALL_LABELS[batch["index_q"]])
    assert_same([{k: v[2:5] for k, v in whole[0].items()}], batches(1, shard=(1, 3), **options))
    drawn = np.bincount(column(whole, "label_q"), minlength=5)
    q = class_distribution(np.bincount(SMALL_LABELS), 2.0)
    assert stats.chisquare(drawn, q * drawn.sum()).pvalue > 1e-4


def test_the_zip_is_as_long_as_p():
    """Keras asks, and warns of data that ran out where nobody knows."""
    pairs = tf.data.Dataset.from_tensor_slices((np.zeros((10, 4, 4, 1)), np.repeat([0, 1], [8, 2])))
    q = minority_stream(pairs, [8, 2])
    assert q.cardinality() == tf.data.INFINITE_CARDINALITY
    assert zip_streams(pairs, q, 4).cardinality() == 3 == len(list(zip_streams(pairs, q, 4)))
