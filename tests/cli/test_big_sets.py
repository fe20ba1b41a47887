"""ImageNet-LT and iNaturalist 2018 through the program: every form they come in, resuming, and what can be wrong."""

import numpy as np
import pytest

from cmo_tf.report.results import read_results
from tests.support import big_sets
from tests.support.method_runs import add_small_networks
from tests.support.program import assert_same_end, program
from tests.support.worker_runs import Workers

TINY = ("--image_size=32 --model=resnet8 --batch_size=8 --mix=cmo --mix_skip_first=0 --mix_skip_last=0 --epochs=3 "
        "--warmup_epochs=1 --many_above=8 --few_below=4 --nodownload").split()
COUNTS = big_sets.long_tail(4, 10)


@pytest.fixture
def tree(tmp_path):
    return big_sets.make_imagenet_tree(tmp_path / "tree", COUNTS, 2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    add_small_networks(monkeypatch)


def check(run_dir, *arguments):
    ended = program(*TINY, *arguments, "--max_steps=2", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert read_results(str(run_dir))["steps"] == 2


def test_two_steps_of_imagenet_lt(tmp_path, tree):
    check(tmp_path / "run", "--dataset=imagenet_lt", f"--data_dir={tree}", "--augment=resized_crop_flip")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["lists", "annotations"])
def test_two_steps_of_inaturalist(form, tmp_path):
    big_sets.make_inaturalist_tree(tmp_path / "tree", COUNTS, lists=form == "lists")
    check(tmp_path / "run", "--dataset=inaturalist2018", f"--data_dir={tmp_path / 'tree'}", "--val_fraction=0.2",
          "--augment=long_large")


@pytest.mark.slow
@pytest.mark.parametrize("form,arguments", [
    ("tfrecord", ["--q_source=rejection"]), ("tfrecord", ["--cache=all"]), ("array_record", ["--sampler=class_aware"]),
])
def test_records_resume_exactly(form, arguments, tmp_path, tree):
    big_sets.make_records(tmp_path / "records", big_sets.IMAGENET, tree, form)
    given = [*TINY, "--dataset=imagenet_lt", f"--data_dir={tmp_path / 'records'}", "--model=resnet20", *arguments]
    for run_dir, stops in (("whole", [5]), ("parts", [2, 5])):
        for steps in stops:
            ended = program(*given, f"--max_steps={steps}", f"--run_dir={tmp_path / run_dir}")
            assert ended.code == 0, ended.err
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("damage,message", [
    (lambda path: path.unlink(), "is not there"),
    (lambda path: path.write_bytes(path.read_bytes()[:200]), "is not a read"),
    (lambda path: path.write_bytes(b"<html>"), "is not a readable picture"),
])
def test_a_bad_picture_is_named(damage, message, tmp_path, tree):
    path = sorted((tree / "train" / big_sets.synset(0)).iterdir())[-1]
    damage(path)
    ended = program(*TINY, "--dataset=imagenet_lt", f"--data_dir={tree}", "--augment=none", "--max_steps=3",
                    f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and f"{path} {message}" in ended.err.splitlines()[-1], ended.err
    assert "Traceback" not in ended.err


def tree_of_50_classes(root, dataset):
    """2,000 JPEGs of mixed sizes, grey and CMYK ones and PNGs among them."""
    counts = np.maximum(2, (220 * 0.02 ** (np.arange(50) / 49)).astype(int))
    counts[0] += max(0, 2000 - counts.sum())
    make = {"imagenet_lt": big_sets.make_imagenet_tree, "inaturalist2018": big_sets.make_inaturalist_tree}[dataset]
    return make(root, counts, 1, side=(150, 400))


@pytest.mark.slow
@pytest.mark.parametrize("dataset,form", [("imagenet_lt", "files"), ("inaturalist2018", "files"),
                                          ("imagenet_lt", "tfrecord"), ("inaturalist2018", "array_record")])
def test_resnet50_on_2000_pictures_of_50_classes(dataset, form, tmp_path):
    """At 224 pixels with the sets' own augmentation."""
    data_dir, arguments = tree_of_50_classes(tmp_path / "tree", dataset), []
    if form != "files":
        big_sets.make_records(tmp_path / "records", dataset, data_dir, form)
        data_dir, arguments = tmp_path / "records", ["--q_source=rejection"] * (form == "tfrecord")
    check(tmp_path / "run", f"--dataset={dataset}", f"--data_dir={data_dir}", "--image_size=224", "--model=resnet50",
          "--eval_batch_size=16", *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_resnet50_on_two_devices_and_on_two_hosts(strategy, tmp_path):
    data_dir = tree_of_50_classes(tmp_path / "tree", "imagenet_lt")
    given = ["--dataset=imagenet_lt", f"--data_dir={data_dir}", "--image_size=224", "--model=resnet50",
             "--eval_batch_size=16"]
    if strategy == "mirrored":
        check(tmp_path / "run", *given, "--strategy=mirrored")
        return
    ended = Workers(2, tmp_path / "run", *TINY, *given, "--max_steps=2", timeout=60).end()
    assert [e.code for e in ended] == [0, 0], ended
    assert read_results(str(tmp_path / "run"))["steps"] == 2
