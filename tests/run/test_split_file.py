"""split.csv: what comes after training goes by the split of the run, however its folder of pictures has changed."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.report.results import read_results
from cmo_tf.run import data as run_data
from cmo_tf.run import split_file
from tests.support.photo_folder import crop, make, originals
from tests.support.program import history, newest, program, tree
from tests.support.run_fixtures import networks, no_plots  # noqa: F401

FLAGS = ("--image_size=16 --model=resnet8 --batch_size=16 --epochs=2 --lr=0.01 --val_fraction=0.1 "
         "--imbalance_ratio=2").split()


pytestmark = pytest.mark.usefixtures("networks", "no_plots")


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """(folder of pictures, finished run on it). Nothing may change them."""
    for fixture in ("networks", "no_plots"):
        request.getfixturevalue(fixture)
    root = tmp_path_factory.mktemp("split")
    make(root / "photos", largest=12, ratio=3)
    ended = program(*FLAGS, f"--dataset=folder:{root / 'photos'}", f"--run_dir={root / 'run'}")
    assert ended.code == 0, ended.err
    return root / "photos", root / "run"


@pytest.fixture
def own(trained, tmp_path):
    """Copies of both, with the flags that make the run look at the copied pictures."""
    photos, run = shutil.copytree(trained[0], tmp_path / "photos"), shutil.copytree(trained[1], tmp_path / "run")
    return photos, run, [f"--run_dir={run}", f"--dataset=folder:{photos}"]


def rows(run):
    with open(run / "split.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names_for_testing(run):
    return [row["picture"] for row in rows(run) if row["split"] == "test"]


def add_pictures(folder, number=6):
    random = np.random.RandomState(1)
    for row in range(number):
        crop(originals()["cat"], random, (90, 200)).save(folder / f"00000{row}.jpg")


def test_every_picture_is_in_it_once(trained):
    photos, run = trained
    listed = {row["picture"]: row for row in rows(run)}
    assert len(listed) == len(rows(run)) == sum(1 for path in photos.rglob("*") if path.is_file())
    assert {row["split"] for row in listed.values()} == {"train", "validation", "test", "unused"}
    assert all(name.split("/")[0] == row["class"] for name, row in listed.items())
    config = parse([*FLAGS, f"--dataset=folder:{photos}"])[0]
    fresh, kept = run_data.load(config), run_data.load(config, split_file.read(str(run)))
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(fresh, part).images, getattr(kept, part).images)
        assert np.array_equal(getattr(fresh, part).labels, getattr(kept, part).labels)
    assert (fresh.mean, fresh.std, fresh.fingerprint) == (kept.mean, kept.std, kept.fingerprint)
    results = read_results(run)
    assert results["split_fingerprint"] == kept.fingerprint
    assert results["labels_fingerprint"] == kept.labels_fingerprint


def test_new_pictures_change_nothing(trained, own):
    """They came in front of the others, so that a split drawn anew would test on pictures of the training."""
    photos, run, flags = own
    before = program("--mode=eval", *flags)
    add_pictures(photos / "cat")
    after = program("--mode=eval", *flags)
    assert before.code == after.code == 0 and before.out == after.out and not before.err
    assert "new since the run was trained, and are left alone: 6" in after.err
    (photos / "zebra").mkdir()
    add_pictures(photos / "zebra", 1)
    assert program("--mode=eval", *flags).out == before.out


def test_missing_and_changed_test_pictures_are_named_and_left_out(own):
    photos, run, flags = own
    first, second, *others = names_for_testing(run)
    (photos / first).unlink()
    Image.open(photos / second).rotate(180).save(photos / second)
    ended = program("--mode=eval", *flags)
    assert ended.code == 0 and ended.out.startswith("accuracy: ")
    assert f"2 of {len(others) + 2} test pictures are missing or changed" in ended.err
    assert f"{first} (missing)" in ended.err and f"{second} (changed)" in ended.err
    for name in others:
        (photos / name).unlink()
    ended = program("--mode=eval", *flags)
    assert ended.code == 2 and ended.err.count("\n") == 1 and "train anew" in ended.err and not ended.out


def test_training_pictures_are_not_needed_for_evaluation(own):
    photos, run, flags = own
    before = program("--mode=eval", *flags).out
    for row in rows(run):
        if row["split"] != "test":
            (photos / row["picture"]).unlink()
    assert program("--mode=eval", *flags).out == before


def test_resuming_goes_by_it(trained, tmp_path):
    photos = shutil.copytree(trained[0], tmp_path / "photos")
    flags, run = [*FLAGS, f"--dataset=folder:{photos}"], tmp_path / "run"
    assert program(*flags, f"--run_dir={run}", "--max_steps=2").code == 0
    add_pictures(photos / "cat")
    gone = next(row["picture"] for row in rows(run) if row["split"] == "train")
    (photos / gone).rename(tmp_path / "aside")
    before = tree(run)
    ended = program(*flags, f"--run_dir={run}")
    assert ended.code == 2 and f"pictures are missing or changed since the run was trained: {gone} (missing)" \
        in ended.err
    assert tree(run) == before and newest(run) == 2
    (tmp_path / "aside").rename(photos / gone)
    ended = program(*flags, f"--run_dir={run}")
    assert ended.code == 0, ended.err
    assert history(run) == history(trained[1])
    assert "new since the run was trained, and are left alone: 6" in (run / "log.txt").read_text()


def test_sets_of_rows(tmp_path):
    flags = ["--dataset=digits", "--max_per_class=5", "--val_fraction=0.2"]
    config, other = parse(flags)[0], parse([*flags, "--split_seed=3"])[0]
    data = run_data.load(config)
    split_file.write(str(tmp_path), data)
    assert {row["picture"] for row in rows(tmp_path)} == {""}
    again = run_data.load(other, split_file.read(str(tmp_path)))
    assert np.array_equal(again.train.images, data.train.images) and again.fingerprint == data.fingerprint
    assert again.fingerprint != run_data.load(other).fingerprint
    text = (tmp_path / "split.csv").read_text()
    label = text.splitlines()[1].split(",")[2]
    (tmp_path / "split.csv").write_text(text.replace(f",{label},", f",{'1' if label == '0' else '0'},", 1))
    with pytest.raises(UserError, match="other labels than its split.csv says"):
        run_data.load(config, split_file.read(str(tmp_path)))
    with pytest.raises(UserError, match="a set of another kind"):
        run_data.load(parse(["--dataset=folder:x"])[0], split_file.read(str(tmp_path)))


def test_a_run_without_it_is_compared_by_fingerprints(own):
    photos, run, flags = own
    (run / "split.csv").unlink()
    assert program("--mode=eval", *flags).code == 0
    add_pictures(photos / "cat")
    ended = program("--mode=eval", *flags)
    assert ended.code == 2 and "fingerprint of the split" in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize("damage", [b"", b"a,b\n1,2\n", b"split,row,label,class,picture,content\ntrain,x,0,cat,a,b\n",
                                    b"split,row,label,class,picture,content\ntrain,0,99,cat,a,b\n"])
def test_damage_is_named(own, damage):
    _, run, flags = own
    (run / "split.csv").write_bytes(damage)
    ended = program("--mode=eval", *flags)
    assert ended.code == 2 and "split.csv: cannot be read (near line" in ended.err and ended.err.count("\n") == 1
