"""--mode=inspect: what it finds in folders of real pictures, what it suggests, and that its flag file runs as it is."""

import json
import os
import re
import shutil
import time
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cmo_tf.config import parse
from cmo_tf.inspection import duplicates, pretrained, suggest, survey, timing
from cmo_tf.run.folder import default_run_dir
from tests.support import imagenet_weights
from tests.support.photo_folder import make
from tests.support.program import program


@pytest.fixture(scope="module", autouse=True)
def from_nothing():
    """As without the packages of ImageNet weights, which what is suggested depends on."""
    with mock.patch.object(pretrained, "installed", return_value=False):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with everything that people's folders have, and the page that came out."""
    root = make(tmp_path_factory.mktemp("own") / "my pictures", largest=24, ratio=8, sides=(90, 120))
    cat, flower = root / "cat", root / "flower"
    shutil.copy(cat / "0001.jpg", flower / "copy.jpg")
    Image.open(cat / "0002.jpg").reduce(2).save(cat / "smaller.jpg", quality=70)
    (cat / "empty.jpg").write_bytes(b"")
    (cat / "cut.jpg").write_bytes((cat / "0001.jpg").read_bytes()[:900])
    Image.open(cat / "0003.jpg").save(cat / "web.jpg", "WEBP")
    Image.open(cat / "0003.jpg").save(cat / "moving.gif")
    Image.open(cat / "0004.jpg").save(cat / "<b>|name`.png", "JPEG")
    Image.new("RGB", (1, 40), "red").save(cat / "line.png")
    os.symlink("nowhere.jpg", cat / "link.jpg")
    os.symlink("round.jpg", cat / "round.jpg")
    os.symlink(root, cat / "loop")
    (cat / "more").mkdir()
    shutil.copy(cat / "0005.jpg", cat / "more")
    (root / ".hidden").mkdir()
    (cat / "notes.txt").write_text("not a picture")
    shutil.copy(cat / "0006.jpg", root / "stray.jpg")
    return root


@pytest.fixture(scope="module")
def quick():
    """The measurement takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "measure", lambda config, counts, shape: timing.Timing(0.05, 2.0, 9))
        yield


@pytest.fixture(scope="module")
def seen(folder, quick, tmp_path_factory):
    """(folder of the pages, what was printed, inspect.json)."""
    out = tmp_path_factory.mktemp("runs") / "inspect-mine"
    ended = program("--mode=inspect", f"--dataset=folder:{folder}", f"--run_dir={out}")
    assert ended.code == 0, ended.err
    return out, ended.out, json.loads((out / "inspect.json").read_text())


def test_every_bad_file_is_named_with_its_reason(seen):
    _, printed, found = seen
    bad = {os.path.basename(path): reason for path, reason in found["bad"]}
    assert {k: next(w for w in ("empty", "truncated", "No such file", "symbolic links") if w in v)
            for k, v in bad.items()} == {"empty.jpg": "empty", "cut.jpg": "truncated", "link.jpg": "No such file",
                                         "round.jpg": "symbolic links"}
    ignored = {os.path.basename(path): reason for path, reason in found["ignored"]}
    assert set(ignored) == {"loop", "more", "stray.jpg"}
    assert "link to a folder" in ignored["loop"] and "its 1 pic" in ignored["more"]
    odd = {os.path.basename(path): note for path, note in found["odd"]}
    assert "is WEBP, though its name says JPEG" in odd["web.jpg"] and "moving.gif" not in odd
    assert "is JPEG, though its name says PNG" in odd["<b>|name`.png"] and "only 1 x 40" in odd["line.png"]
    assert "bad: " in printed and "cut.jpg: JPEG: image file is truncated" in printed


def test_copies_are_found(seen):
    _, _, found = seen
    groups = {tuple(sorted(os.path.basename(f) for f in g["files"])): g["what"] for g in found["duplicates"]}
    equal = next(what for files, what in groups.items() if "copy.jpg" in files)
    assert equal.startswith(("equal", "nearly equal")) and "under 2 classes" in equal
    assert any(set(files) == {"0002.jpg", "smaller.jpg"} for files in groups)
    across = ["in train and test" in g["what"] for g in found["duplicates"]]
    assert across == sorted(across, reverse=True)  # those that flatter the accuracy come first


def test_the_pages_say_it(seen, folder):
    out, _, found = seen
    html, text = (out / "inspect.html").read_text(), (out / "inspect.md").read_text()
    for word in ("Training images of each class", "Suggested flags", "Imbalance", "cut.jpg", "--flagfile="):
        assert word in html
    assert "&lt;b&gt;|name`.png" in html and "<b>" not in html and "&lt;b&gt;\\|name\\`.png" in text
    assert not re.search(r"https?://|<script", html)
    rows = found["per_class"]
    assert [row["name"] for row in rows] == sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    assert max(rows, key=lambda row: row["train_count"])["name"] == "cat" and "cat (" in seen[1]


def test_the_flag_file_runs_as_it_is(seen, folder, tmp_path):
    path = seen[0] / "suggested.cfg"
    config, files, _ = parse([f"--flagfile={path}"])
    assert config.dataset == f"folder:{folder}" and config.bad_images == "skip" and config.mix == "cmo"
    assert default_run_dir(files, 3) == os.path.join("runs", "mine-s3")
    assert all(line.startswith(("#", "--")) for line in path.read_text().splitlines())
    from cmo_tf.run import data
    loaded = data.load(config)
    assert len(loaded.skipped) == 4
    assert loaded.counts.tolist() == [row["train_count"] for row in seen[2]["per_class"]]
    assert len(loaded.test) == sum(row["test_count"] for row in seen[2]["per_class"])


def test_what_stops_the_training_is_said(quick, tmp_path):
    (tmp_path / "set" / "train" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "test" / "dog").mkdir(parents=True)
    ended = program("--mode=inspect", f"--dataset=folder:{tmp_path / 'set'}", f"--run_dir={tmp_path / 'out'}")
    assert ended.code == 0 and "stops the training: " in ended.out
    assert not (tmp_path / "out" / "suggested.cfg").exists()
    assert "cannot be trained on yet" in (tmp_path / "out" / "inspect.md").read_text()
    ended = program("--mode=inspect", f"--dataset=folder:{tmp_path / 'nowhere'}")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "no such folder" in ended.err


def test_other_sets_can_be_looked_at(quick, tmp_path):
    ended = program("--mode=inspect", "--dataset=digits", "--imbalance_ratio=20", f"--run_dir={tmp_path}")
    assert ended.code == 0 and "imbalance ratio 21.1" in ended.out
    config = parse([f"--flagfile={tmp_path / 'suggested.cfg'}"])[0]
    assert config.dataset == "digits" and config.imbalance_ratio == 20 and config.image_size is None


def test_a_flag_that_is_given_is_kept(quick, folder, tmp_path):
    ended = program("--mode=inspect", f"--dataset=folder:{folder}", f"--run_dir={tmp_path}", "--epochs=33",
                    "--image_size=48", "--nodownload")
    config = parse([f"--flagfile={tmp_path / 'suggested.cfg'}"])[0]
    assert ended.code == 0 and (config.epochs, config.image_size, config.download) == (33, 48, False)


def facts(counts, **options):
    return suggest.Facts("folder:x", np.array(counts), **{"side": 300, **options})


def test_suggestions_follow_the_set():
    chosen = {k: v for k, v, _ in suggest.flags(facts([200, 60, 6]), 64, 10.0)}
    assert chosen["method"] == "bs" and chosen["mix"] == "cmo" and chosen["epochs"] == 60
    assert chosen["val_fraction"] == 0 and (chosen["many_above"], chosen["few_below"]) == (100, 20)
    chosen = {k: v for k, v, _ in suggest.flags(facts([900, 800, 700]), 64, 1e9)}
    assert chosen["method"] == "ce" and chosen["keep"] == "best" and chosen["epochs"] == suggest.FEWEST
    chosen = {k: v for k, v, _ in suggest.flags(facts([9, 8, 7, 4, 3, 2]), 32, 1e-9)}
    assert chosen["epochs"] == suggest.MOST and (chosen["many_above"], chosen["few_below"]) == (7, 4)
    assert suggest.sides(facts([9], side=20)) == [32] and suggest.sides(facts([9])) == [64, 48, 32]
    assert suggest.sides(facts([9], device="GPU"))[0] == 224


def test_near_copies_within_a_few_bits_and_no_flat_pictures():
    random = np.random.RandomState(0)
    marks = random.randint(0, 256, (300, 16), dtype=np.uint8)
    marks[7] = marks[3] ^ np.array([1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 32] + [0] * 5, np.uint8)  # 6 bits
    marks[9] = marks[5] ^ np.array([0xFF, 0x0F] + [0] * 14, np.uint8)  # 12 bits
    pictures = [survey.Picture(9, 9, digest=bytes([k % 256, k // 256]), marks=m) for k, m in enumerate(marks)]
    found = duplicates.find(pictures, [0] * 300, ["train"] * 299 + ["test"])
    assert [group.rows for group in found] == [(3, 7)] and not found[0].exact and not found[0].across
    assert survey.marks(np.full((36, 36, 3), 90, np.uint8)) is None


@pytest.mark.slow
def test_time_is_measured_on_the_suggested_network():
    config = parse(["--model=resnet20", "--batch_size=16", "--image_size=32", "--mix=cmo"])[0]
    found = timing.measure(config, np.array([100, 20, 5]), (32, 32, 3), seconds=1.0)
    assert found.steps > 5 and 0.001 < found.step < 5 and found.first > found.step
    assert timing.total(found, config, 125, 30) > config.epochs * 8 * found.step


def test_weights_that_are_installed_are_suggested_first():
    with mock.patch.object(pretrained, "installed", return_value=True):
        assert pretrained.fits(facts([200, 60, 6]), {"epochs": 3})
        assert not pretrained.fits(facts([200, 60, 6], side=40), {}) and not pretrained.fits(facts([9, 2]), {"mix": 1})
        assert not pretrained.fits(facts([9, 2], fixed=True), {})
    assert not pretrained.fits(facts([200, 60, 6]), {})
    rows = pretrained.flags(facts([200, 60, 6], bad=3, total=300), 96)
    config = parse([f"--{name}={value}" for name, value, _ in rows])[0]
    assert (config.train, config.loss, config.head, config.image_size) == ("head", "logit_adjust", "cosine", 96)
    assert (config.bad_images, config.max_bad, config.epochs) == ("skip", 4, 10)
    assert pretrained.side_of(facts([9], side=100), {}) == 96 and pretrained.side_of(facts([9]), {}) == pretrained.SIDE
    assert pretrained.side_of(facts([9]), {"image_size": 64}) == 64
    assert pretrained.pictures_per_second(32) > 1


@imagenet_weights.needed
@pytest.mark.slow
def test_a_few_pictures_give_a_useful_classifier_in_minutes(tmp_path):
    """12 classes of crops of photographs, 6 to 60 of them: from a folder to a report."""
    make(tmp_path / "few", largest=60, ratio=10, sides=(90, 120))
    began = time.monotonic()
    with mock.patch.object(pretrained, "installed", return_value=True):
        ended = program("--mode=inspect", f"--dataset=folder:{tmp_path / 'few'}", f"--run_dir={tmp_path / 'look'}")
    assert ended.code == 0 and "--flagfile=" in ended.out
    ended = program(f"--flagfile={tmp_path / 'look' / 'suggested.cfg'}", f"--features_dir={tmp_path / 'features'}",
                    f"--run_dir={tmp_path / 'run'}")
    print(ended.out, f"{time.monotonic() - began:.0f} s")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert ended.code == 0 and results["accuracy"]["all"] > 80
    assert program("--mode=eval", f"--run_dir={tmp_path / 'run'}").out.startswith("accuracy: ")
