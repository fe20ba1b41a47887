"""The training stream over files and records: the same batches from either, exact from any step, and from services."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import augment, datasets
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import data_service
from cmo_tf.pipeline import cache, eval_batches, train_stream
from cmo_tf.pipeline.pictures import Pictures, encoded_of
from tests.support.big_sets import (
    IMAGENET,
    INATURALIST,
    long_tail,
    make_imagenet_tree,
    make_inaturalist_tree,
    make_records,
)
from tests.support.program import ROOT
from tests.support.streams import assert_same, column

COUNTS, SIZE = long_tail(5, 12), (24, 24)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Form -> ImageNet-LT in it, 24 pixels."""
    root = tmp_path_factory.mktemp("sets")
    make_imagenet_tree(root / "files", COUNTS)
    for form in ("tfrecord", "array_record"):
        make_records(root / form, IMAGENET, root / "files", form)
    return {form: datasets.load(IMAGENET, data_dir=str(root / form), image_size=24, download=False)
            for form in ("files", "tfrecord", "array_record")}


def make(source, images=None, **options):
    options = {"batch_size": 8, "seed": 7, "augment": augment.create("resized_crop_flip", SIZE),
               "decode": Pictures(27, source.records), "class_counts": np.bincount(source.train.labels), **options}
    return train_stream(source.train.images if images is None else images, source.train.labels, **options)


def batches(number, source, **options):
    return list(make(source, **options).take(number).as_numpy_iterator())


@pytest.mark.parametrize("form,options", [
    ("files", {}), ("array_record", {"partner": "permuted"}), ("files", {"per_image": True, "q_power": 2.0}),
    ("tfrecord", {"q_source": "rejection"}), ("tfrecord", {"q_source": "rejection", "partner": "permuted"}),
    pytest.param("tfrecord", {"q_source": "interleave", "drop_remainder": True}, marks=pytest.mark.slow),
])
def test_any_step_and_any_shard(form, options, sources):
    source, options = sources[form], {"probability": 0.7, **options}
    whole = batches(9, source, **options)
    assert_same(whole[4:], batches(5, source, start_step=4, **options))
    for k in range(2) if form == "files" else (1,):
        part = batches(5, source, start_step=4, shard=(k, 2), **options)
        for one, all_rows in zip(part, whole[4:], strict=True):
            rows = len(all_rows["label"])
            for name, values in one.items():
                np.testing.assert_array_equal(values, all_rows[name][rows * k // 2:rows * (k + 1) // 2], err_msg=name)


@pytest.mark.parametrize("form", ["files", "tfrecord", "array_record"])
def test_epochs_are_permutations_with_the_right_labels(form, sources):
    source, total = sources[form], sum(COUNTS)
    options = {"q_source": "rejection"} if form == "tfrecord" else {}
    stream = batches(2 * -(-total // 8), source, **options)
    index, label = column(stream, "index"), column(stream, "label")
    for epoch in (index[:total], index[total:]):
        assert sorted(epoch) == list(range(total))
    assert not np.array_equal(index[:total], index[total:])
    np.testing.assert_array_equal(label, source.train.labels[index])
    np.testing.assert_array_equal(column(stream, "label_q"), source.train.labels[column(stream, "index_q")])
    assert column(stream, "image").dtype == np.uint8 and column(stream, "image").std() > 20


def test_files_and_records_give_the_same_batches(sources):
    """Files in the order of the records, else the sets of rows would differ."""
    records = sources["array_record"]
    place = {open(path, "rb").read(): path for path in sources["files"].train.images}
    paths = np.array([place[data] for data in encoded_of(records.records.read(records.train.images)).numpy()])
    expected = batches(4, records, images=paths, decode=Pictures(27))
    assert_same(expected, batches(4, records))
    assert_same(expected, batches(4, sources["tfrecord"]))


def test_streamed_pixels_are_those_of_random_access(sources):
    """A stream of records pairs every picture with its own row."""
    source = sources["tfrecord"]
    for batch in batches(3, source, q_source="rejection", probability=1.0, augment="none"):
        for image, index in (("image", "index"), ("image_q", "index_q")):
            plain = Pictures(27, source.records)
            expected = plain.squares(plain.encoded(tf.constant(source.train.images[batch[index]])))
            np.testing.assert_array_equal(batch[image], expected)


def test_part_of_the_records(sources):
    """A validation split leaves rows out."""
    source = sources["tfrecord"]
    kept = np.arange(0, len(source.train), 2)
    stream = train_stream(source.train.images[kept], source.train.labels[kept], batch_size=8, seed=1, augment="none",
                          decode=Pictures(27, source.records), q_source="rejection")
    stream = list(stream.take(-(-len(kept) // 8)).as_numpy_iterator())
    assert sorted(column(stream, "index")) == list(range(len(kept)))
    np.testing.assert_array_equal(column(stream, "label"), source.train.labels[kept][column(stream, "index")])


def test_foregrounds_are_read_only_for_mixed_batches(sources):
    """Rows of Q whose files do not exist: no harm while nothing is mixed."""
    images, labels = np.append(sources["files"].train.images[:9], b"/nowhere"), np.repeat([0, 1], [9, 1])

    def readable(probability, step):
        stream = train_stream(images, labels, batch_size=5, seed=7, augment="none", decode=Pictures(27), q_power=30.0,
                              probability=probability, start_step=step)
        try:
            return bool(next(iter(stream)))
        except tf.errors.NotFoundError:
            return False
    # P has the row that is not there in one of the epoch's two batches; Q, where it is read, in both.
    assert sorted(readable(0.0, step) for step in (0, 1)) == [False, True]
    assert not any(readable(1.0, step) for step in (0, 1))


def test_a_stream_of_records_has_no_sampler(sources):
    with pytest.raises(UserError, match="--sampler=class_aware: records in a stream"):
        make(sources["tfrecord"], q_source="rejection", sampler="class_aware")
    assert len(batches(2, sources["tfrecord"], sampler="class_aware")) == 2


@pytest.mark.parametrize("form", ["files", "array_record"])
def test_evaluation_and_cache(form, sources, monkeypatch):
    source = sources[form]
    decode = Pictures(27, source.records)
    images = [batch for batch in eval_batches(source.test.images, batch_size=2, size=SIZE, decode=decode)]
    images = np.concatenate(images)
    assert images.shape == (len(source.test), 24, 24, 3)
    splits = {"train": source.train, "test": source.test, "validation": None}
    for kind in ("encoded", "eval") if form == "files" else ("all",):
        kept, reader = cache.keep(kind, splits, decode, SIZE)
        assert kept["validation"] is None and np.array_equal(kept["train"].labels, source.train.labels)
        again = eval_batches(kept["test"].images, batch_size=3, size=SIZE, decode=reader)
        np.testing.assert_array_equal(np.concatenate(list(again)), images)
        if kind != "eval":
            assert_same(batches(1, source, images=kept["train"].images, decode=reader), batches(1, source))
    monkeypatch.setattr(cache, "_available", lambda: 5000)
    for kind, name in (("encoded", "train"), ("eval", "test")):
        with pytest.raises(UserError, match=f"--cache={kind}: {name}: takes .* GiB of memory, .* free"):
            cache.keep(kind, splits | {"test": source.train}, decode, SIZE)
    with pytest.raises(UserError, match="--cache=encoded: is for published sets"):
        cache.keep("encoded", splits, lambda path: path, SIZE)


@pytest.fixture(scope="module")
def local_services():
    """Two services in this process."""
    servers = tf.data.experimental.service
    found = [servers.DispatchServer() for _ in range(2)]
    addresses = [one.target.split("://")[1] for one in found]
    workers = [servers.WorkerServer(servers.WorkerConfig(dispatcher_address=address)) for address in addresses]
    yield ",".join(addresses)
    del workers


def test_services_take_turns(sources, local_services):
    options = functools.partial(make, sources["files"], start_step=3, probability=1.0)
    served = data_service.distributed(local_services, options)
    assert_same(list(options().take(7).as_numpy_iterator()), list(served.take(7).as_numpy_iterator()))


def test_services_refuse_what_they_cannot_run(sources, local_services):
    with pytest.raises(UserError, match="--data_service: this stream needs Python functions"):
        data_service.distributed(local_services, functools.partial(make, sources["array_record"]))
    for address, message in (("localhost", "host:port is needed"), ("localhost:1", "nobody answers")):
        with pytest.raises(UserError, match=f"--data_service={address}: {message}"):
            data_service.distributed(address, None)


@pytest.mark.slow
def test_two_processes_of_the_tool(sources):
    tool = subprocess.Popen([sys.executable, ROOT / "tools" / "data_service.py", "--workers=2"], stdout=subprocess.PIPE,
                            text=True)
    try:
        addresses = tool.stdout.readline().strip().removeprefix("--data_service=")
        assert addresses.count(",") == 1
        options = functools.partial(make, sources["files"], start_step=5, probability=0.5)
        served = data_service.distributed(addresses, options)
        assert_same(list(options().take(20).as_numpy_iterator()), list(served.take(20).as_numpy_iterator()))
    finally:
        tool.terminate()
        assert tool.wait(60) == 0


def test_inaturalist_stream(tmp_path):
    make_inaturalist_tree(tmp_path, COUNTS)
    source = datasets.load(INATURALIST, data_dir=str(tmp_path), image_size=24)
    assert_same(batches(3, source), batches(3, source))
