"""tools/gpu_runs.py: its programs on the processor for two steps, and what it leaves out."""

import json
import os
from types import SimpleNamespace

import numpy as np
import other_backends
import pytest

from cmo_tf import long_tail
from cmo_tf.report import studies
from tools import gpu_runs
from tools.gpu import pack, rows


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """(folder of the packed set, the arrays it was made of): 25 random pictures a class."""
    folder, rng = tmp_path_factory.mktemp("gpu"), np.random.default_rng(0)
    arrays = {f"x_{split}": rng.integers(0, 256, (250, 32, 32, 3), dtype=np.uint8) for split in ("train", "test")}
    arrays |= {f"y_{split}": np.arange(250)[:, None] % 10 for split in ("train", "test")}
    np.savez(folder / "arrays.npz", **arrays)
    assert gpu_runs.main([f"--pack={folder / 'arrays.npz'}", f"--data={folder / 'pack'}"]) == 0
    return folder / "pack", arrays


def test_the_pack_gives_back_every_pixel(packed):
    folder, arrays = packed
    (images, labels), (test_images, test_labels) = pack.load(folder)
    assert np.bincount(labels).tolist() == long_tail.long_tailed_counts([25] * 10, imbalance_ratio=100)
    chosen = long_tail.select_indices(arrays["y_train"].ravel(), np.bincount(labels))
    np.testing.assert_array_equal(images, arrays["x_train"][chosen])
    np.testing.assert_array_equal(test_images, arrays["x_test"])
    np.testing.assert_array_equal(test_labels, arrays["y_test"].ravel())


@pytest.mark.slow
def test_two_steps_of_every_part(packed, tmp_path, monkeypatch):
    """Rows, their branches and step times come back from the programs themselves."""
    monkeypatch.setattr(gpu_runs.sys, "executable", other_backends.python_of("torch"))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    line = [f"--data={packed[0]}", f"--out={tmp_path}", "--tiny", "--rows=ce_cmo", "--parts=cost,ours,torch",
            "--limit_s=1500"]
    code = gpu_runs.main(line)
    logs = {name: (tmp_path / f"{name}.log").read_text()[-2000:] for name in ("cost", "ours", "torch")}
    assert code == 0, logs
    done = studies.read(tmp_path / "ours.jsonl") | studies.read(tmp_path / "torch.jsonl")
    assert set(done) == {"ce_cmo_s0", "ce_drw_cmo_s0", "torch_ce_cmo_s0"}
    for row in done.values():
        assert len(row["per_class"]) == 10 and len(row["history"]["loss"]) == 10 and 0 <= row["ece"] <= 1
        assert row["versions"]["device"] and row["best"]["epoch"] in (5, 10) and row["flags"]["mix"] == "cmo"
        assert 100 * studies.correct(row).mean() == row["accuracy"]["all"]
    base, branch = (done[name]["history"]["loss"] for name in ("ce_cmo_s0", "ce_drw_cmo_s0"))
    assert done["ce_drw_cmo_s0"]["from_epoch"] == 8 and base[:8] == branch[:8] and base[8:] != branch[8:]
    case, = json.loads((tmp_path / "cost.json").read_text())
    assert set(case["ms"]) == {"ours/plain", "ours/cmo", "torch/plain", "torch/cmo"}
    assert all(ms > 0 for ms in case["ms"].values())


@pytest.mark.slow
def test_an_epoch_as_one_program_is_the_examples(packed, tmp_path):
    """With CMO, class weights and a short last batch: loss and all weights."""
    out = other_backends.run("jax", "tests/tools/gpu_epoch.py", packed[0], cwd=tmp_path)
    found = json.loads(out.splitlines()[-1])
    assert found["mixed"] and found["short"] and found["steps"] >= 2
    assert found["loss"] < 1e-4 and found["weights"] < 1e-4


def test_rows_that_are_there_are_left_out_and_others_only_begun_if_they_fit(tmp_path, capsys):
    options = SimpleNamespace(method="ce", mix="none", depth=32, epochs=200, seed=0)
    book = rows.Book(tmp_path / "out.jsonl", [], limit_s=100)
    assert book.missing("ce", options) and book.fits(200) and not book.late(), "without a pace a row is tried"
    book.pace = 1.0
    assert book.fits(90) and not book.fits(110)
    figures = {"accuracy": {"all": np.float32(75), "few": float("nan")}, "per_class": [{"test_count": 4}]}
    history = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "all": 80.0},
               {"epoch": 3, "loss": 0.5, "all": 75.0}]
    book.write("ce", options, figures, np.array([True, True, False, True]), history, seconds=3.0)
    row = studies.read(book.path)["ce_s0"]
    assert row["accuracy"] == {"all": 75.0, "few": None} and row["best"]["accuracy"] == {"all": 80.0}
    assert row["history"]["all"] == [None, 80.0, 75.0] and studies.correct(row).tolist() == [True, True, False, True]
    assert json.loads(capsys.readouterr().out) == {"name": "ce_s0", "accuracy": 75.0, "best": 80.0, "seconds": 3.0}
    again = rows.Book(tmp_path / "other.jsonl", [book.path], limit_s=-1)
    assert again.late() and not again.missing("ce", options) and again.missing("ce_cmo", options)
    assert again.missing("ce", SimpleNamespace(seed=1, epochs=200))
    kept = studies.read(book.path)
    studies.write(tmp_path / "kept.jsonl", {**kept, "bs_s0": kept["ce_s0"]})  # whose first line is what both share
    again = rows.Book(tmp_path / "other.jsonl", [tmp_path / "kept.jsonl"], limit_s=100)
    assert not again.missing("ce", options) and not again.missing("bs", options)


def test_a_part_that_fails_or_hangs_leaves_the_others_their_time(tmp_path, monkeypatch, capsys):
    calls = []

    def execute(line, file, seconds):
        calls.append((os.path.basename(line[1]), round(seconds)))
        return len(calls) % 2
    monkeypatch.setattr(gpu_runs, "execute", execute)
    assert gpu_runs.main([f"--out={tmp_path}", "--data=D", "--limit_s=500", "--parts=cost:90,ours,torch"]) == 1
    assert calls == [("cost.py", 120), ("ours.py", 530), ("reference.py", 530)]
    assert "cost: exit code 1" in capsys.readouterr().out
    with open(tmp_path / "log", "w") as file:
        monkeypatch.undo()
        assert gpu_runs.execute([gpu_runs.sys.executable, "-c", "import time; time.sleep(60)"], file, 0.5) == 124


def test_an_unknown_part_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        gpu_runs.main(["--data=D", "--parts=cost,rows"])
    assert ended.value.code == 2 and "rows is none of cost, ours, torch" in capsys.readouterr().err
