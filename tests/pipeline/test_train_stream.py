"""train_stream: every batch a pure function of (seed, step), with the contract of an unmixed and of a mixed batch."""

import collections
import gc
import os

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cmo_tf.augment.policies import CropFlip
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import eval_batches, steps_per_epoch, train_stream
from cmo_tf.sampling import class_distribution
from tests.support.streams import COUNTS, area, assert_same, batches, column, small_set

N, HEIGHT, WIDTH = sum(COUNTS), 6, 8
DTYPES = {"label": "int32", "label_q": "int32", "index": "int64", "index_q": "int64", "lam": "float32", "box": "int32"}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_contract_of_a_batch(dtype):
    images, labels = small_set(dtype=dtype)
    stream = batches(60, images, labels)
    seen = collections.Counter()
    for step, batch in enumerate(stream):
        rows = 8 if step % 5 < 4 else 5
        assert set(batch) == {"image", "image_q", *DTYPES}
        assert {k: str(batch[k].dtype) for k in DTYPES} == DTYPES
        assert batch["image"].dtype == batch["image_q"].dtype == dtype
        assert batch["image"].shape == batch["image_q"].shape == (rows, HEIGHT, WIDTH, 3)
        assert batch["box"].shape == (rows, 4) and all(batch[k].shape == (rows,) for k in DTYPES if k != "box")
        np.testing.assert_array_equal(batch["image"], images[batch["index"]])
        np.testing.assert_array_equal(batch["label"], labels[batch["index"]])
        np.testing.assert_array_equal(batch["label_q"], labels[batch["index_q"]])
        box = batch["box"]
        assert (box == box[0]).all() and (box[0] >= 0).all() and (box[0] <= [HEIGHT, WIDTH] * 2).all()
        assert (box[:, :2] <= box[:, 2:]).all()
        np.testing.assert_array_equal(batch["lam"], (1 - area(box) / (HEIGHT * WIDTH)).astype("float32"))
        if batch["image_q"].any():
            np.testing.assert_array_equal(batch["image_q"], images[batch["index_q"]])
            seen["mixed, empty box" if batch["lam"][0] == 1 else "mixed"] += 1
        else:
            assert (batch["lam"] == 1).all() and not box.any()
            np.testing.assert_array_equal(batch["index_q"], batch["index"])
            seen["unmixed"] += 1
    # A mixed batch whose box comes out empty still carries its Q rows.
    assert len(seen) == 3 and seen["mixed"] > 15, seen


def test_every_epoch_is_another_permutation():
    orders = []
    for epoch in (0, 255, 511, 65536):
        pair = column(batches(10, start_step=5 * epoch, probability=0.0), "index").reshape(2, N)
        assert (np.sort(pair) == np.arange(N)).all()
        orders += map(tuple, pair)
    # index_shuffle would keep 8 bits of the epoch here: 256 would repeat epoch 0.
    assert len(set(orders)) == len(orders)


def test_uniform_order():
    """Each image is equally often at each place of an epoch."""
    images, labels = np.zeros((6, 1, 1, 1), "uint8"), np.arange(6)
    orders = column(batches(2000, images, labels, batch_size=6, probability=0.0), "index").reshape(-1, 6)
    table = np.array([np.bincount(orders[:, place], minlength=6) for place in range(6)])
    assert stats.chisquare(table.ravel()).pvalue > 1e-4


@pytest.mark.parametrize("options", [{"augment": "pad1", "per_image": True}, {"drop_remainder": True},
                                     {"augment": CropFlip((4, 5)), "shard": (1, 3), "mix_steps": (3, 9)}])
def test_pure_function_of_seed_and_step(options):
    whole = batches(14, **options)
    for start in (0, 4, 12):
        assert_same(whole[start:start + 2], batches(2, start_step=start, **options))
    assert_same(batches(3, start_step=31414, **options)[1:], batches(2, start_step=31415, **options))


def test_independent_of_parallelism():
    images, labels = small_set()
    stream = train_stream(images, labels, batch_size=8, seed=7, augment="pad4_flip")
    expected = [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(12)]
    for threads in (1, 6):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = threads > 1
        options.deterministic = threads == 1
        found = [{k: v.numpy() for k, v in batch.items()} for batch in stream.with_options(options).take(12)]
        assert_same(found, expected)


def test_every_draw_depends_on_the_seed():
    columns = collections.defaultdict(set)
    seeds = (0, 1, 256, 2**31, 2**32, 2**32 + 1)
    for seed in seeds:
        stream = batches(40, seed=seed, augment=CropFlip(pad=2))
        for name in ("index", "index_q", "box", "lam"):
            columns[name].add(column(stream, name).tobytes())
        columns["coin"].add(tuple(batch["image_q"].any() for batch in stream))
        epoch = stream[:5]  # in the order of the images: the pixels differ by the augmentation alone
        columns["augment"].add(column(epoch, "image")[np.argsort(column(epoch, "index"))].tobytes())
    assert all(len(found) == len(seeds) for found in columns.values()), {k: len(v) for k, v in columns.items()}


def test_drop_remainder_and_static_shapes():
    images, labels = small_set()
    stream = train_stream(images, labels, batch_size=8, seed=7, drop_remainder=True)
    assert all(spec.shape[0] == 8 and spec.shape.is_fully_defined() for spec in stream.element_spec.values())
    found = batches(8, images, labels, drop_remainder=True)
    kept = batches(9, images, labels)
    for epoch in range(2):
        order = column(found[4 * epoch:4 * epoch + 4], "index")
        assert len(order) == len(set(order)) == 32
        np.testing.assert_array_equal(order, column(kept[5 * epoch:5 * epoch + 4], "index"))
    sizes = []
    for i in range(3):
        spec = train_stream(images, labels, batch_size=8, seed=7, drop_remainder=True, shard=(i, 3)).element_spec
        sizes.append(spec["image"].shape[0])
        assert spec["box"].shape == (sizes[-1], 4)
    assert sizes == [2, 3, 3]
    open_spec = train_stream(images, labels, batch_size=8, seed=7).element_spec
    assert open_spec["image"].shape.as_list() == [None, HEIGHT, WIDTH, 3] and open_spec["box"].shape[1] == 4
    assert [steps_per_epoch(37, 8), steps_per_epoch(37, 8, True), steps_per_epoch(40, 8), steps_per_epoch(3, 8)] == \
        [5, 4, 5, 1]


@pytest.mark.parametrize("batch_size, workers, per_image", [(9, 2, False), (9, 3, True), (12, 5, False)])
def test_shards_are_rows_of_the_global_batch(batch_size, workers, per_image):
    """Contiguous, short last batches too (of 1 row), some of them empty, and with the same pixels."""
    options = dict(batch_size=batch_size, augment="pad4_flip", per_image=per_image, probability=0.8)
    whole = batches(11, **options)
    shards = [batches(11, shard=(i, workers), **options) for i in range(workers)]
    for step, batch in enumerate(whole):
        rows = len(batch["label"])
        for i, shard in enumerate(shards):
            mine = slice(rows * i // workers, rows * (i + 1) // workers)
            assert_same([shard[step]], [{k: v[mine] for k, v in batch.items()}])
    assert {len(batch["label"]) for batch in whole} == {batch_size, N % batch_size}


def test_window_of_mixing():
    stream = batches(14, probability=1.0, mix_steps=(4, 9))
    assert [bool(batch["image_q"].any()) for batch in stream] == [4 <= step < 9 for step in range(14)]
    assert_same(stream[4:9], batches(14, probability=1.0)[4:9])
    late = batches(4, probability=1.0, mix_steps=(4, 9), start_step=7)
    assert_same(late, stream[7:11])
    # The plan does not depend on the window or the coin's probability: only whether it is carried out.
    half = batches(14)
    for batch, always in zip(half, batches(14, probability=1.0), strict=True):
        if batch["image_q"].any():
            assert_same([batch], [always])


@pytest.mark.parametrize("per_image", [False, True])
def test_coin(per_image):
    images, labels = np.full((10, 1, 1, 1), 9, "uint8"), np.arange(10) % 2
    for probability in (0.3, 0.75):
        stream = batches(900 if not per_image else 90, images, labels, batch_size=10, probability=probability,
                         per_image=per_image)
        coins = column(stream, "image_q")[:, 0, 0, 0].reshape(-1, 10) > 0
        tosses = coins.ravel() if per_image else coins[:, 0]
        assert per_image or (coins == coins[:, :1]).all()
        assert stats.binomtest(int(tosses.sum()), len(tosses), probability).pvalue > 1e-3
    for probability in (0.0, 1.0):
        stream = batches(20, images, labels, batch_size=10, probability=probability, per_image=per_image)
        assert (column(stream, "image_q") == 9 * probability).all()


def published_boxes(alpha, height, width, draws=100_000):
    """Boxes (draws, 4) of the published recipe in plain numpy."""
    random = np.random.RandomState(1)
    ratio = np.sqrt(1 - random.beta(alpha, alpha, draws))
    spans = []
    for side in (height, width):
        half, centre = (side * ratio).astype(int) // 2, random.randint(side, size=draws)
        spans.append((np.clip(centre - half, 0, side), np.clip(centre + half, 0, side)))
    return np.stack([spans[0][0], spans[1][0], spans[0][1], spans[1][1]], 1)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 4.0])
def test_boxes_are_distributed_as_published(alpha):
    images, labels = np.zeros((400, 32, 24, 1), "uint8"), np.arange(400) % 2
    stream = batches(20, images, labels, batch_size=400, probability=1.0, alpha=alpha, per_image=True)
    lam, box = column(stream, "lam"), column(stream, "box")
    assert np.isfinite(lam).all() and (lam >= 0).all() and (lam <= 1).all()
    np.testing.assert_array_equal(lam, (1 - area(box) / (32 * 24)).astype("float32"))
    expected = published_boxes(alpha, 32, 24)
    for found, wanted in [(area(box), area(expected)), *zip(box.T, expected.T, strict=True)]:
        assert stats.ks_2samp(found, wanted).pvalue > 1e-3
    shares = area(expected) / (32 * 24)
    assert abs((1 - lam).mean() - shares.mean()) < 4 * shares.std() / np.sqrt(len(lam))


def test_a_plan_a_row():
    images, labels = small_set()
    stream = batches(10, images, labels, per_image=True)
    mixed = column(stream, "image_q").any((1, 2, 3))
    assert 0.3 < mixed.mean() < 0.7 and len(np.unique(column(stream, "box")[mixed], axis=0)) > 20
    rows = {k: column(stream, k) for k in stream[0]}
    np.testing.assert_array_equal(rows["image_q"][mixed], images[rows["index_q"][mixed]])
    assert (rows["lam"][~mixed] == 1).all() and not rows["box"][~mixed].any() and not rows["image_q"][~mixed].any()
    np.testing.assert_array_equal(rows["index_q"][~mixed], rows["index"][~mixed])
    np.testing.assert_array_equal(rows["label_q"], labels[rows["index_q"]])


@pytest.mark.parametrize("options", [
    dict(q_power=0.0), dict(q_power=0.5), dict(q_power=1.0), dict(q_power=2.0), dict(q_power=0.5, q_level="class"),
    dict(q_kind="effective", q_level="class"),
])
def test_foregrounds_follow_q(options):
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(5), [60, 30, 12, 5, 1]))
    stream = batches(80, np.ones((108, 1, 1, 1), "uint8"), labels, batch_size=108, probability=1.0, **options)
    counts = np.bincount(labels)
    index_q = column(stream, "index_q")
    q = class_distribution(counts, **{k.removeprefix("q_"): v for k, v in options.items()})
    assert stats.chisquare(np.bincount(labels[index_q], minlength=5), q * len(index_q)).pvalue > 1e-4
    for label in range(4):  # uniform inside a class
        members = np.flatnonzero(labels == label)
        assert stats.chisquare(np.bincount(index_q, minlength=108)[members]).pvalue > 1e-4
    # With replacement, independent of P: pairs of (index, index_q) are not tied to each other.
    assert np.mean(index_q == column(stream, "index")) < 0.05


def test_empty_classes_and_given_counts():
    labels = np.array([0, 0, 0, 3, 3, 1])
    stream = batches(300, np.ones((6, 1, 1, 1), "uint8"), labels, batch_size=6, probability=1.0,
                     class_counts=[30, 10, 0, 20, 0], q_power=2.0)
    drawn = np.bincount(column(stream, "label_q"), minlength=4)
    q = class_distribution([30, 10, 0, 20, 0], 2.0)
    assert drawn[2] == 0 and stats.chisquare(drawn[[0, 1, 3]], q[[0, 1, 3]] * drawn.sum()).pvalue > 1e-4
    with pytest.raises(UserError, match="class 2 has no image"):
        batches(1, np.ones((6, 1, 1, 1), "uint8"), labels, class_counts=[3, 1, 5, 2])


def test_p_and_q_are_augmented_independently():
    images, labels = small_set([1], 5, 5)
    stream = batches(300, images, labels, batch_size=1, probability=1.0, augment="pad4_flip")
    p, q = column(stream, "image"), column(stream, "image_q")
    # 81 places and two mirror images: two independent draws are equal once in 162 times.
    assert np.mean((p == q).all((1, 2, 3))) < 0.05
    assert len(np.unique(p, axis=0)) > 50 and len(np.unique(q, axis=0)) > 50


class Decoder:
    """Turns path "7" into an image full of 7s, and counts."""

    def __init__(self):
        self.calls = collections.Counter()

    def __call__(self, path):
        def read(name):
            self.calls[int(name.numpy())] += 1
            return np.full((2, 3, 1), int(name.numpy()), "uint8")
        return tf.ensure_shape(tf.py_function(read, [path], tf.uint8), (2, 3, 1))


def test_coin_is_tossed_before_foregrounds_are_read():
    _, labels = small_set()
    paths = np.array([str(i) for i in range(N)])
    rare = int(np.flatnonzero(labels == 4)[0])
    calls = {}
    for name, plan in {"never": {"probability": 0.0}, "outside": {"probability": 1.0, "mix_steps": (10**6, 10**7)},
                       "always": {"probability": 1.0}}.items():
        decode = Decoder()
        stream = batches(80, paths, labels, decode=decode, **plan)
        assert all((batch["image"][:, 0, 0, 0] == batch["index"]).all() for batch in stream)
        if name == "always":
            assert all((batch["image_q"][:, 1, 2, 0] == batch["index_q"]).all() for batch in stream)
        calls[name] = decode.calls
    # 16 epochs read every image 16 times and some more for what is prefetched: neither twice, nor what Q would read.
    for name in ("never", "outside"):
        assert set(calls[name]) == set(range(N)) and min(calls[name].values()) >= 16
        assert max(calls[name].values()) < 26, max(calls[name].values())
    assert calls["always"][rare] > 100


def memory():
    """Resident bytes of this process."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_tensor_of_images_is_kept_once():
    """However many streams read it. (tf.data makes a copy for a moment whenever an iterator starts.)"""
    size, images = 6000 * 64 * 64 * 6, tf.zeros([6000, 64, 64, 6], tf.uint8) + tf.constant(5, tf.uint8)
    before = memory()
    streams = [iter(train_stream(images, np.arange(6000) % 7, batch_size=32, seed=seed)) for seed in range(4)]
    batches = [next(stream) for stream in streams]
    assert memory() - before < 1.5 * size
    np.testing.assert_array_equal(batches[3]["image"], np.full((32, 64, 64, 6), 5))


IMAGES, LABELS = small_set()


@pytest.mark.parametrize("change, words", [
    (dict(labels=LABELS[:-1]), "37 images and 36 labels"), (dict(images=IMAGES[:0], labels=LABELS[:0]), "0 images"),
    (dict(labels=LABELS.astype("float32")), "labels are one non-negative integer"),
    (dict(labels=LABELS - 1), "non-negative"),
    (dict(labels=LABELS[:, None]), "one non-negative integer"),
    (dict(images=IMAGES[..., 0]), r"got shape \(37, 6, 8\)"),
    (dict(batch_size=0), "--batch_size=0"), (dict(batch_size=38, drop_remainder=True), "--batch_size=38.*37 training"),
    (dict(shard=(2, 2)), r"shard=\(2, 2\)"), (dict(shard=(-1, 2)), "shard"), (dict(start_step=-1), "start_step=-1"),
    (dict(q_source="reject"), "--q_source=reject.*index, rejection"), (dict(probability=1.5), "--probability=1.5"),
    (dict(alpha=0.0), "--alpha=0.0"), (dict(augment="pad4flip"), "did you mean 'pad4_flip'"),
    (dict(q_kind="sqrt"), "--q_kind=sqrt"), (dict(augment=CropFlip((9, 9))), "6x8 cannot be cropped to 9x9"),
])
def test_bad_input_is_named(change, words):
    with pytest.raises(UserError, match=words):
        train_stream(**{"images": IMAGES, "labels": LABELS, "batch_size": 8, "seed": 0, **change})


def test_a_batch_larger_than_the_set():
    stream = batches(3, batch_size=64, shard=(1, 2))
    assert [len(batch["label"]) for batch in stream] == [19, 19, 19]


def test_eval_batches_go_once_through_in_order():
    images, labels = small_set()
    found = list(eval_batches(images, labels, batch_size=8, size=(4, 4)))
    assert [len(y) for _, y in found] == [8, 8, 8, 8, 5] and found[0][1].dtype == tf.int32
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), images[:, 1:5, 2:6])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), labels)
    paths = np.array([str(i) for i in range(5)])
    decoded = list(eval_batches(paths, batch_size=3, decode=Decoder()))
    np.testing.assert_array_equal(np.concatenate(decoded)[:, 0, 0, 0], np.arange(5))
