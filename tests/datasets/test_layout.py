"""Folders of pictures as people lay them out: names of the parts, classes without test pictures, wrappers, links."""

import json
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from cmo_tf import datasets
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.inspection import findings
from cmo_tf.run import data as run_data
from tests.support.program import program

CLASSES = ("crane", "heron", "stork")


def write(root, counts, form="PNG", suffix=".png"):
    """Pictures of one colour each, no two alike."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for row in range(count):
            colour = tuple(np.frombuffer(f"{root}{name}{row}".encode().ljust(60)[-60:], np.uint8).reshape(3, 20).sum(1)
                           % 256)
            Image.new("RGB", (20, 20), tuple(map(int, colour))).save(root / name / f"{row}{suffix}", form)
    return root


def load(root, **options):
    return datasets.load(f"folder:{root}", image_size=7, **options)


def refused(root, message):
    """Both the load and `--mode=inspect` say it in a line."""
    with pytest.raises(UserError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)
    assert findings.look(parse([f"--dataset=folder:{root}"])[0]).stoppers


@pytest.mark.parametrize("train, test", [("train", "test"), ("Train", "Test"), ("training", "testing"),
                                         ("TRAINING", "Testing")])
def test_names_of_the_parts(train, test, tmp_path):
    write(tmp_path / train, dict.fromkeys(CLASSES, 3))
    write(tmp_path / test, dict.fromkeys(CLASSES, 2))
    source = load(tmp_path)
    assert source.class_names == CLASSES and (len(source.train), len(source.test)) == (9, 6) and not source.notes


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_validation(name, tmp_path):
    write(tmp_path / "train", dict.fromkeys(CLASSES, 3))
    write(tmp_path / name, dict.fromkeys(CLASSES, 2))
    source = load(tmp_path)
    assert len(source.test) == 6 and source.validation is None
    assert f"there is no test folder, so that {name}/ is the test set" in source.notes
    write(tmp_path / "test", dict.fromkeys(CLASSES, 1))
    source = load(tmp_path)
    assert (len(source.train), len(source.validation), len(source.test)) == (9, 6, 3)
    flags = [f"--dataset=folder:{tmp_path}", "--image_size=7"]
    data = run_data.load(parse([*flags, "--early_stop=3", "--keep=best", "--calibrate=temperature"])[0])
    assert np.array_equal(data.validation.images, source.validation.images)
    with pytest.raises(UserError, match="--val_fraction=0.1: .*brings 6 validation pictures of its own"):
        run_data.load(parse([*flags, "--val_fraction=0.1"])[0])


def test_validation_that_there_is_not(tmp_path):
    write(tmp_path, dict.fromkeys(CLASSES, 4))
    with pytest.raises(UserError, match="--early_stop=3: looks at validation images; add --val_fraction"):
        run_data.load(parse([f"--dataset=folder:{tmp_path}", "--early_stop=3"])[0])


@pytest.mark.parametrize("empty", [False, True])
def test_a_class_without_test_pictures_stays_untested(empty, tmp_path):
    write(tmp_path / "train", dict.fromkeys(CLASSES, 3))
    write(tmp_path / "test", {"heron": 2, "stork": 2})
    if empty:
        (tmp_path / "test" / "crane").mkdir()
    source = load(tmp_path)
    assert source.class_names == CLASSES and source.test.labels.tolist() == [1, 1, 2, 2]
    assert "classes without test pictures, which stay untested: crane" in source.notes
    looked = findings.look(parse([f"--dataset=folder:{tmp_path}"])[0])
    assert not looked.stoppers and any("untested" in reason for _, reason in looked.ignored)


def test_untested_in_results_and_report(tmp_path):
    write(tmp_path / "set/train", dict.fromkeys(CLASSES, 4))
    write(tmp_path / "set/test", {"heron": 2, "stork": 2})
    run = tmp_path / "run"
    ended = program(f"--dataset=folder:{tmp_path / 'set'}", "--image_size=16", "--model=resnet20", "--epochs=1",
                    "--batch_size=12", f"--run_dir={run}")
    assert ended.code == 0, ended.err
    rows = {row["name"]: row for row in json.loads((run / "results.json").read_text())["per_class"]}
    assert rows["crane"]["accuracy"] is None and rows["crane"]["test_count"] == 0 and rows["heron"]["test_count"] == 2
    assert "which stay untested: crane" in (run / "log.txt").read_text()
    report = (run / "report.md").read_text()
    assert any("crane" in line and line.endswith("untested |") for line in report.splitlines())
    assert "Untested, for want of test images: crane." in report


def test_a_class_without_training_pictures_is_refused(tmp_path):
    write(tmp_path / "train", {"heron": 2, "stork": 2})
    write(tmp_path / "test", {"heron": 2, "stork": 2, "crane": 1})
    refused(tmp_path, "classes without training pictures: crane .only in test")
    (tmp_path / "train" / "crane").mkdir()
    refused(tmp_path, "class folder .*train/crane has no picture")


def test_case_and_unicode_form(tmp_path):
    write(tmp_path / "train", {"heron": 2, unicodedata.normalize("NFC", "Reiher é"): 2})
    write(tmp_path / "test", {"heron": 1, unicodedata.normalize("NFD", "Reiher é"): 1})
    assert np.bincount(load(tmp_path).test.labels).tolist() == [1, 1]
    (tmp_path / "test" / "heron").rename(tmp_path / "test" / "Heron")
    refused(tmp_path, "classes without training pictures: Heron .only in test; heron differs in case alone")


def test_parts_that_do_not_go_together(tmp_path):
    write(tmp_path / "train", dict.fromkeys(CLASSES, 2))
    refused(tmp_path, f"test has no class folders .*--dataset=folder:{tmp_path}/train")
    write(tmp_path / "Training", dict.fromkeys(CLASSES, 2))
    refused(tmp_path, "Training and train in .* are both for train; keep one")
    (tmp_path / "train").rename(tmp_path / "other")
    write(tmp_path / "test", dict.fromkeys(CLASSES, 1))
    assert load(tmp_path).notes == ("not read, beside Training and test: other",)
    (tmp_path / "Training").rename(tmp_path / "more")
    refused(tmp_path, "test has class folders, but there is none for training")


def test_folders_in_folders(tmp_path):
    """What it is and the path that works."""
    inner = write(tmp_path / "birds" / "birds", dict.fromkeys(CLASSES, 3))
    refused(tmp_path / "birds", f"holds the one folder birds, in which the class folders are; .*folder:{inner}$")
    assert load(inner).class_names == CLASSES
    for name in ("2020", "2021"):
        write(tmp_path / "years" / name, dict.fromkeys(CLASSES, 3))
    refused(tmp_path / "years", f"2020 has no pictures, but the folders in it have .*folder:{tmp_path}/years/2020$")
    write(tmp_path / "flat", {".": 2})
    refused(tmp_path / "flat", "no class folders with pictures .*; 2 pictures lie in it")


def test_a_dead_link_for_a_class(tmp_path):
    write(tmp_path, dict.fromkeys(CLASSES, 2))
    os.symlink(tmp_path / "nowhere", tmp_path / "ibis")
    refused(tmp_path, "ibis is a link to nowhere")


@pytest.mark.parametrize("form, name", [("JPEG", "a.jpe"), ("PNG", "a"), ("JPEG", "a.jpg.1"), ("JPEG", "a.jpeg "),
                                        ("WEBP", "a.webp"), ("WEBP", "a.jpg"), ("BMP", "a.bmp"), ("TIFF", "a.tif"),
                                        ("TIFF", "a.dat"), ("GIF", "a.gif")])
def test_files_are_judged_by_content(form, name, tmp_path):
    write(tmp_path, {"crane": 2, "heron": 2})
    Image.new("RGB", (20, 20), (250, 0, 0)).save(tmp_path / "crane" / name, form)
    source = load(tmp_path)
    assert len(source.train) + len(source.test) == 5 and not source.notes
    looked = findings.look(parse([f"--dataset=folder:{tmp_path}"])[0])
    assert len(looked.pictures) == 5 and not looked.bad and not looked.ignored


def test_what_is_not_read_is_counted_by_kind(tmp_path):
    write(tmp_path, {"crane": 2, "heron": 2})
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    for name, content in {"a.heic": heic, "b": heic, "c.avif": b"\0\0\0\x18ftypavif" + bytes(40), "notes": b"text",
                          "d.psd": b"8BPS" + bytes(60)}.items():
        (tmp_path / "crane" / name).write_bytes(content)
    assert load(tmp_path).notes == ("not read inside class folders are AVIF: 1, HEIC: 2, Photoshop: 1; "
                                    "--mode=inspect names them",)
    assert len(findings.look(parse([f"--dataset=folder:{tmp_path}"])[0]).ignored) == 4


def test_large_profiles_and_comments(tmp_path):
    from PIL.PngImagePlugin import PngInfo
    write(tmp_path, {"crane": 2, "heron": 2})
    info = PngInfo()
    info.add_text("comment", "x" * 3_000_000, zip=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "crane" / "text.png", pnginfo=info)
    Image.new("RGB", (20, 20)).save(tmp_path / "crane" / "icc.png", icc_profile=bytes(3_000_000))
    assert len(load(tmp_path).train) + len(load(tmp_path).test) == 6
    assert not findings.look(parse([f"--dataset=folder:{tmp_path}"])[0]).bad
