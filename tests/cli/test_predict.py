"""`--mode=predict`: the run's own test images as files give the run's own predictions; what is bad is named."""

import csv
import io
import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import digits
from cmo_tf.serving import pictures, table
from tests.support.program import program, tree

SHOWN = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of the first test images as PNG, half of them one level deeper, with a hidden file; their paths in the
    order of the test set."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below" / ".hidden").mkdir(parents=True)
    paths = [folder / ("below" if row % 2 else "") / f"{row:03d}.{'png' if row % 3 else 'PNG'}" for row in range(SHOWN)]
    for path, image in zip(paths, digits.load().test.images[:SHOWN], strict=True):
        Image.fromarray(image[..., 0]).save(path)
    for hidden in (folder / ".x.png", folder / "below" / ".hidden" / "x.png", folder / "notes.txt"):
        hidden.write_text("no picture")
    return folder, [str(path) for path in paths]


def rows(text) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_test_images_give_the_predictions_of_the_run(finished, files):
    run_dir, before = finished[0], tree(finished[0])
    folder, paths = files
    ended = program("--mode=predict", f"--run_dir={run_dir}", f"--input={folder}", "--top=3")
    assert ended.code == 0 and ended.err == "", ended.err
    found = rows(ended.out)
    assert list(found[0]) == ["path", "class", "confidence", "class_2", "confidence_2", "class_3", "confidence_3"]
    assert [row["path"] for row in found] == sorted(paths)
    by_path = {row["path"]: row for row in found}
    with np.load(run_dir / "predictions.npz") as saved:
        for path, predicted, confidence in zip(paths, saved["predicted"], saved["confidence"], strict=False):
            assert by_path[path]["class"] == str(predicted)
            assert float(by_path[path]["confidence"]) == pytest.approx(confidence, abs=2e-6)
    ranked = np.array([[float(row[key]) for key in ("confidence", "confidence_2", "confidence_3")] for row in found])
    assert np.all(np.diff(ranked) <= 0) and np.all(ranked.sum(1) <= 1 + 1e-5)
    assert tree(run_dir) == before


def test_files_and_a_test_prior(finished, files, tmp_path):
    """--test_prior=uniform moves probabilities by 1/n of each training class; --top is cut at the classes there are."""
    _, paths = files
    together = f"--input={paths[3]},{paths[0]}"
    plain, uniform = (program("--mode=predict", f"--run_dir={finished[0]}", together, "--top=99", *more)
                      for more in ((), ("--test_prior=uniform",)))
    assert [row["path"] for row in rows(plain.out)] == [paths[3], paths[0]]
    counts = np.array([20, 14, 10, 7, 5, 3, 2, 1, 1, 1])
    for one, other in zip(rows(plain.out), rows(uniform.out), strict=True):
        first, second = (probabilities(row) for row in (one, other))
        assert first.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(second, first / counts / np.sum(first / counts), atol=2e-5)


def probabilities(row) -> np.ndarray:
    """(10,) in label order."""
    found = np.zeros(10)
    for key, name in row.items():
        if key.startswith("class"):
            found[int(name)] = float(row[key.replace("class", "confidence")])
    return found


def test_bad_pictures_are_named_and_left_out(finished, files, tmp_path):
    bad = tmp_path / "bad\n.png"
    bad.write_text("no picture")
    ended = program("--mode=predict", f"--run_dir={finished[0]}", f"--input={bad.parent},{files[1][0]}")
    assert ended.code == 0 and len(rows(ended.out)) == 1
    assert ended.err.count("\n") == 2 and "bad .png: not a readable" in ended.err
    assert ended.err.endswith("cmo_tf: 1 of 2 pictures could not be read\n")


def test_the_table_is_written_whole_or_not_at_all(finished, files, tmp_path):
    given = ["--mode=predict", f"--run_dir={finished[0]}", f"--output={tmp_path / 'found.csv'}"]
    ended = program(*given, f"--input={files[1][0]}")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    before = (tmp_path / "found.csv").read_text()
    assert len(rows(before)) == 1
    (tmp_path / "bad.png").write_text("no picture")
    ended = program(*given, f"--input={tmp_path / 'bad.png'}")
    assert ended.code == 2 and "none of 1 pictures" in ended.err and ended.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.png", "found.csv"]
    assert (tmp_path / "found.csv").read_text() == before


def test_what_is_missing_or_does_nothing_is_refused(finished, files, tmp_path):
    run_dir, a_file = f"--run_dir={finished[0]}", f"--input={files[1][0]}"
    (tmp_path / "empty").mkdir()
    cases = ((["--mode=predict", a_file], "--run_dir"), (["--mode=predict", run_dir], "--input"),
             (["--mode=predict", f"--run_dir={tmp_path}", a_file], str(tmp_path)),
             (["--mode=predict", run_dir, "--input=nowhere.png"], "nowhere.png"),
             (["--mode=predict", run_dir, f"--input={tmp_path / 'empty'}"], "no picture in it (JPEG, PNG, WebP"),
             (["--mode=predict", run_dir, a_file, "--lr=1"], "--lr"),
             (["--mode=predict", run_dir, a_file, "--top=0"], "--top=0"),
             (["--mode=predict", run_dir, a_file, "--format=onnx"], "--format=onnx: is for --mode=export"),
             (["--mode=predict", run_dir, a_file, f"--output={tmp_path}"], "is a folder"),
             (["--mode=predict", run_dir, a_file, f"--output={tmp_path}/no/x.csv"], "cannot be written"),
             ([a_file], "--input"), (["--mode=eval", run_dir, "--top=3"], "--top=3"))
    for arguments, told in cases:
        ended = program(*arguments)
        assert ended.code == 2 and told in ended.err and ended.err.count("\n") == 1 and ended.out == "", ended


def test_an_older_run_takes_its_names_from_the_results(finished, files, tmp_path):
    """One whose model.keras has no names inside yet; and one that does not fit its results is refused."""
    import json
    import shutil
    import zipfile
    run_dir = tmp_path / "old"
    run_dir.mkdir()
    for name in ("flags.cfg", "results.json"):
        shutil.copy(finished[0] / name, run_dir)
    with zipfile.ZipFile(finished[0] / "model.keras") as source, zipfile.ZipFile(run_dir / "model.keras", "w") as copy:
        assert json.loads(source.read("classes.json")) == {"class_names": [str(k) for k in range(10)]}
        for name in set(source.namelist()) - {"classes.json"}:
            copy.writestr(name, source.read(name))
    given = ["--mode=predict", f"--run_dir={run_dir}", f"--input={files[1][0]}"]
    results = json.loads((run_dir / "results.json").read_text())
    results["per_class"][3]["name"] = "=three"
    (run_dir / "results.json").write_text(json.dumps(results))
    assert "'=three" in program(*given, "--top=10").out
    results["per_class"].pop()
    (run_dir / "results.json").write_text(json.dumps(results))
    refused = program(*given)
    assert refused.code == 2 and "9 names" in refused.err


def test_a_signal_leaves_nothing_half_written(tmp_path):
    from cmo_tf.run.signals import Stopped
    from cmo_tf.serving.interrupt import ending
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with pytest.raises(Stopped, match="nothing was written") as stopped, ending(), \
                table.writing(str(tmp_path / "found.csv")) as writer:
            writer.writerow(["path"])
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert stopped.value.exit_code == code and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "cell"), [
    ("heron", "heron"), ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "\\t=1"), (" =1", "' =1"), ("a\r\n=1", "a\\r\\n=1"), ("a\u2028b", "a\\u2028b"), ("Ärmel", "Ärmel"),
    ("\udcff", "\\udcff"), ("\uff1d1", "'\uff1d1")])
def test_cells_are_no_formulas(text, cell):
    assert table.as_text(text) == cell


def test_paths_stay_paths():
    assert table.as_path("=cmd.png") == "./=cmd.png"
    assert table.as_path("-x/a.png") == "./-x/a.png"
    assert table.as_path("/a/b.png") == "/a/b.png"


def test_names_with_commas_and_links_that_go_round(tmp_path):
    picture = Image.new("L", (8, 8))
    for name in ("a,b.png", "c.jpg"):
        picture.save(tmp_path / name)
    (tmp_path / "again").symlink_to(tmp_path)
    assert pictures.find(str(tmp_path / "a,b.png")) == [str(tmp_path / "a,b.png")]
    assert pictures.find(str(tmp_path)) == [str(tmp_path / "a,b.png"), str(tmp_path / "c.jpg")]


def test_pictures_are_read_as_those_of_the_set(tmp_path):
    """A folder's and a published set's own test images, to the pixel; grey pictures for a network of colours."""
    from cmo_tf import datasets
    from cmo_tf.augment.policies import center_crop
    from cmo_tf.pipeline import eval_batches
    from cmo_tf.pipeline.pictures import Pictures
    random = np.random.RandomState(0)
    paths = [tmp_path / part / name / "0.png" for part in ("train", "test") for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir(parents=True)
        Image.fromarray(random.randint(0, 255, (40, 60, 3), np.uint8)).save(path)
    source = datasets.load(f"folder:{tmp_path}", image_size=16)
    read = pictures.reader(source.name, source.image_shape)
    expected = center_crop(source.test.images, (16, 16))
    np.testing.assert_array_equal([read(str(path)) for path in paths[2:]], expected)
    names = np.array([str(path) for path in paths])
    published = next(iter(eval_batches(names, size=(14, 14), decode=Pictures(16)))).numpy()
    read = pictures.reader("imagenet_lt", (14, 14, 3))
    np.testing.assert_array_equal([read(name) for name in names], published)
    Image.fromarray(random.randint(0, 255, (40, 60), np.uint8)).save(paths[0])
    for dataset in ("imagenet_lt", "cifar10", "tfds:some", source.name):
        assert pictures.reader(dataset, (32, 32, 3))(str(paths[0])).shape == (32, 32, 3)
    (tmp_path / "text.png").write_text("no picture")
    for dataset in ("imagenet_lt", "cifar10"):
        with pytest.raises(UserError, match=r"text\.png"):
            pictures.reader(dataset, (32, 32, 3))(str(tmp_path / "text.png"))
    with pytest.raises(UserError, match="squares"):
        pictures.reader("tfds:some", (20, 28, 1))
