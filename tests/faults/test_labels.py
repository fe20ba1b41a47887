"""Promise 8: classes with no image, one, two, 10,000 of them; labels that are out of range, from 1 on, negative, no
whole numbers, missing. Lists, annotations and Sources: also tests/datasets/test_big_sets.py, test_datasets_contract.py;
folders: test_folder.py there."""

import json
import math
import time

import numpy as np
import pytest
from PIL import Image

from cmo_tf import LongTailClassifier, long_tail, losses, models, sampling
from cmo_tf.callbacks import DRW
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import digits
from cmo_tf.datasets.category_json import read_json
from cmo_tf.datasets.lists import check_classes, read_list
from cmo_tf.datasets.source import Source, Split
from cmo_tf.losses import LOSSES
from cmo_tf.methods import METHODS
from cmo_tf.pipeline import train_stream
from tests.support.program import program

# Training images of each class: one without any, two classes, single images, no tail at all.
COUNTS = {"empty": [20, 5, 0, 3], "two": [9, 4], "single": [12, 1, 1], "equal": [6, 6, 6]}
OWN = {"ride": ["--model=resnet20", "--mix=cmo"], "paco": [], "mislas": [], "tau_norm": ["--mix=cmo", "--tau=0.7"],
       "bbn": ["--model=resnet8_128"]}


@pytest.fixture
def digits_of(monkeypatch):
    """Function counts, test images -> --dataset=digits has these counts, in classes that are all ones and twos."""
    def use(counts, tested=None):
        kept = digits.load()
        labels = np.repeat(np.arange(len(counts)), counts)
        test = np.repeat(np.arange(len(counts)), tested or [2] * len(counts))
        parts = [Split(images[np.arange(len(labels)) % len(images)], labels)
                 for images, labels in ((kept.train.images, labels), (kept.test.images, test))]
        names = tuple(f"class {k}" for k in range(len(counts)))
        source = Source("digits", *parts, names, kept.image_shape, kept.mean, kept.std, kept.augment)
        monkeypatch.setattr(digits, "load", lambda **options: source)
    return use


def run(run_dir, method, *arguments):
    """Two steps to the report."""
    given = OWN.get(method, ["--mix=cmo"])
    return program("--dataset=digits", "--model=resnet8", f"--method={method}", "--epochs=2", "--max_steps=2",
                   "--batch_size=8", "--warmup_epochs=0", "--many_above=5", "--few_below=2", *given, *arguments,
                   f"--run_dir={run_dir}")


def assert_whole(run_dir, ended, counts):
    assert ended.code == 0, ended.err
    found = json.loads((run_dir / "results.json").read_text())
    assert found["class_counts"] == counts and 0 <= found["accuracy"]["all"] <= 100
    tested = [row for row in found["per_class"] if row["test_count"]]
    sizes = {name: sum(row["group"] == name for row in tested) for name in ("many", "medium", "few")}
    assert all((found["accuracy"][name] is None) == (number == 0) for name, number in sizes.items())
    assert (run_dir / "model.keras").exists() and "nan" not in (run_dir / "metrics.csv").read_text().lower()


@pytest.mark.parametrize("kind", ["empty", *(pytest.param(kind, marks=pytest.mark.faults)
                                            for kind in ("two", "single", "equal"))])
def test_the_paper_s_method_from_start_to_report(kind, digits_of, small_networks, tmp_path):
    """The accuracy of a class that is not tested is unknown, not 0."""
    counts = COUNTS[kind]
    digits_of(counts, [3, 0, 2, 2][:len(counts)])
    assert_whole(tmp_path / "run", run(tmp_path / "run", "ldam_drw"), counts)
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["per_class"]
    assert [row["accuracy"] is None for row in rows] == [row["class"] == 1 for row in rows]
    assert f"class {len(counts) - 1}" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["empty", "single"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_on_tails_of_any_kind(method, kind, digits_of, small_networks, monkeypatch, tmp_path):
    """Trains, or says in one line what it needs. Without plots, which take longer than the run."""
    from cmo_tf.run import run as training
    monkeypatch.setattr(training, "write_report", lambda *arguments: ("report.html", None))
    monkeypatch.setattr(training.panel, "write", lambda *arguments: None)
    digits_of(COUNTS[kind])
    ended = run(tmp_path / "run", method)
    if ended.code == 2:
        print(f"{method}, {kind}: {ended.err}")
        assert ended.err.count("\n") == 1 and ended.err.startswith("cmo_tf: --")
    else:
        assert_whole(tmp_path / "run", ended, COUNTS[kind])


def test_one_class_is_none(digits_of, tmp_path):
    with pytest.raises(UserError, match="^--dataset=digits: 'class 0' is the only class; a classifier needs two"):
        digits_of([9])
    (tmp_path / "set" / "cat").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "set" / "cat" / "a.png")
    ended = program(f"--dataset=folder:{tmp_path / 'set'}", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and "'cat' is the only class; a classifier needs two" in ended.err
    assert ended.err.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("counts", [[20, 5, 0, 3], [1, 1], [10**6, 1], [3, 3, 3]], ids=str)
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_are_finite_for_any_counts(name, counts):
    """For every class that has an image."""
    import inspect

    import keras
    loss = LOSSES[name]
    made = loss(counts) if "class_counts" in inspect.signature(loss).parameters else loss()
    labels = np.resize(np.flatnonzero(counts), 6)
    logits = np.random.RandomState(0).normal(size=(6, len(counts))).astype("float32")
    if made.needs_features:
        logits = {"logits": logits, "features": np.abs(logits),
                  "kernel": np.eye(len(counts), dtype="float32")}
    assert math.isfinite(float(keras.ops.convert_to_numpy(made(labels, logits))))


def test_ten_thousand_classes(tmp_path):
    """Splits, Q, losses and a step of training; a whole run is a long test. Times printed."""
    began = time.monotonic()
    counts = long_tail.class_counts(10_000, 500, 500)
    labels = np.repeat(np.arange(10_000), counts)
    chosen = long_tail.select_indices(labels, [max(n // 2, 1) for n in counts])
    q = sampling.class_distribution(counts)
    table = sampling.class_table(labels, q)
    assert len(chosen) and table.cumulative[-1] == 1 and np.ptp(q) < 1e-12
    print(f"{len(labels):,} images of 10,000 classes: splits and Q in {time.monotonic() - began:.2f} s")
    network = models.create("resnet20", 10_000, (8, 8, 1), seed=0)
    model = LongTailClassifier(network)
    model.compile("sgd", losses.LDAM(counts))
    rows = np.array([0, 5_000, 9_999])
    history = model.fit(np.zeros((3, 8, 8, 1), "uint8"), rows, batch_size=3, verbose=0, callbacks=[DRW(counts, 0)])
    assert math.isfinite(history.history["loss"][0])


@pytest.mark.faults
def test_a_run_of_ten_thousand_classes(digits_of, small_networks, tmp_path):
    counts = long_tail.class_counts(10_000, 20, 20)
    digits_of(counts, [1] * 10_000)
    began = time.monotonic()
    ended = run(tmp_path / "run", "ldam_drw", "--batch_size=256", "--many_above=15", "--few_below=3")
    assert_whole(tmp_path / "run", ended, counts)
    size = (tmp_path / "run" / "report.html").stat().st_size
    print(f"10,000 classes, {sum(counts):,} images: two steps to the report in {time.monotonic() - began:.0f} s, "
          f"report.html {size / 2**20:.1f} MiB")
    assert size < 10 * 2**20


LABELS = {
    "from 1 on": ([1, 2, 3, 1], r"row 2 has label 3; labels are 0..2 with 3 classes; these begin at 1: take 1"),
    "out of range": ([0, 7, 2, 1], r"row 1 has label 7; labels are 0..2 with 3 classes$"),
    "negative": ([0, 1, -1, 2], r"row 2 has label -1"),
    "float": ([0.0, 1.0, 2.0, 0.5], r"float64 \(row 0 is .*0.0.*\); they must be integers"),
    "text": (["a", "b", "c", "a"], r"must be integers"),
    "missing": ([0, 1, None, 2], r"must be integers"),
    "none": ([], r"at least one image|0 labels"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_bad_labels_are_named_with_their_row(kind):
    """In a Source, in a stream, in fit."""
    labels, message = LABELS[kind]
    labels, images = np.array(labels), np.zeros((len(labels), 8, 8, 1), np.uint8)
    good = Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1]))
    with pytest.raises(UserError, match=f"^--dataset=mine: train split: .*{message}"):
        Source("mine", Split(images, labels), good, ("a", "b", "c"), (8, 8, 1), (0.5,), (0.5,), "pad1")
    with pytest.raises(UserError, match=f"^train_stream: .*{message}"):
        train_stream(images, labels, batch_size=2, seed=0, class_counts=[2, 2, 2])
    model = LongTailClassifier(models.create("resnet20", 3, (8, 8, 1), seed=0))
    model.compile("sgd", losses.CrossEntropy())
    with pytest.raises(UserError, match=f"^fit: y: .*{message}"):
        model.fit(images, labels, verbose=0)


@pytest.mark.parametrize("lines, message", [
    (["a 1", "b 2", "c 3"], "has labels 1 to 3; the first class is 0, take 1 from each"),
    (["a 0", "b 2"], "has no image with the label 1, though labels go up to 2"),
    (["a 0", "b 99999999999999999999"], "row 2 has the label '99999999999999999999'; a whole number from 0 on"),
    (["a 0", "b 1", "c 1.0"], "row 3 has the label '1.0'"), (["a 0", "b -0"], "row 2 has the label '-0'"),
    (["a 0", "b"], "row 2 has no label behind 'b'"), (["a 0", "b ½"], "row 2 has the label"),
])
def test_bad_labels_of_lists(lines, message, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=f"^--data_dir: {path}.*{message}") as error:
        check_classes(read_list(str(path), str(tmp_path))[1], str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("label", [True, 1.0, "1", -1, None, [1], 10**30])
def test_bad_labels_of_annotations(label, tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"images": [{"id": 7, "file_name": "a.jpg"}],
                                "annotations": [{"image_id": 7, "category_id": label}]}))
    with pytest.raises(UserError, match=r"train.json, image 0 \(id 7\) has the category .*; a whole number from 0 on"):
        read_json(str(tmp_path), "train.json", "train.json")
