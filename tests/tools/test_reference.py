"""tools/reference_torch.py: its losses and batches are ours, it resumes exactly, sweep.py runs and keeps its rows."""

import os
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from cmo_tf.callbacks import DRW
from cmo_tf.core.errors import UserError
from cmo_tf.losses import LDAM, BalancedSoftmax, CrossEntropy, mixed_terms
from cmo_tf.mixing import MIXERS
from cmo_tf.pipeline import train_stream
from cmo_tf.report import studies
from tests.support import other_backends
from tools import reference_torch, sweep

COUNTS, EPOCH, BATCH = [150, 50, 20, 7, 3], 4, 128
LABELS = np.repeat(np.arange(len(COUNTS)), COUNTS)
ROWS = "ce --method=ce\nldam_drw_cmo --method=ldam_drw --mix=cmo\n"


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    return {"images": rng.integers(0, 256, (len(LABELS), 32, 32, 3), dtype=np.uint8), "set_labels": LABELS,
            "epoch": EPOCH, "counts": np.array(COUNTS), "logits": rng.uniform(-1, 1, (40, 5)).astype("float32"),
            "labels": rng.integers(0, 5, 40), "labels_q": rng.integers(0, 5, 40)}


@pytest.fixture(scope="module")
def reference(given, tmp_path_factory):
    """The arrays of reference_steps.py."""
    folder = tmp_path_factory.mktemp("reference")
    np.savez(folder / "in.npz", **given)
    other_backends.run("torch", "tests/tools/reference_steps.py", folder / "in.npz", folder / "out.npz", cwd=folder)
    with np.load(folder / "out.npz") as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_losses_are_ours(given, reference):
    weights = DRW(COUNTS, 0).weights(0)
    makers = {"ce": lambda w: CrossEntropy(w, num_classes=5), "bs": lambda w: BalancedSoftmax(COUNTS, w),
              "ldam": lambda w: LDAM(COUNTS, class_weights=w)}
    for name, make in makers.items():
        for suffix, weight in (("", None), ("_drw", weights)):
            loss = make(weight)
            terms = mixed_terms(loss, given["labels"], given["labels_q"], 0.7, given["logits"])
            expected = {"": float(loss(given["labels"], given["logits"])),
                        "_mixed": sum(float(numerator / denominator) for numerator, denominator in terms)}
            for kind, value in expected.items():
                key = f"loss/{name}{suffix}{kind}"
                np.testing.assert_allclose(reference[key], value, rtol=1e-6, err_msg=key)


@pytest.mark.slow
def test_batches_are_those_of_the_program(given, reference):
    steps = -(-len(LABELS) // BATCH)
    stream = iter(train_stream(given["images"], LABELS, batch_size=BATCH, seed=0, start_step=EPOCH * steps,
                               augment="pad4_flip"))
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
    for step in range(steps):
        out = MIXERS["cmo"]()(next(stream), training=True)
        image = ((out["image"].numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(reference[f"batch{step}/image"], image, rtol=0, atol=1e-5)
        for name in ("label", "label_q"):
            np.testing.assert_array_equal(reference[f"batch{step}/{name}"], out[name])
        np.testing.assert_allclose(reference[f"batch{step}/lam"], out["lam"][0], rtol=0, atol=1e-7)
    assert any(reference[f"batch{step}/lam"] < 1 for step in range(steps)), "no batch was mixed"


@pytest.mark.slow
def test_a_run_in_parts_ends_as_the_straight_one(reference):
    names = [name.removeprefix("straight/") for name in reference if name.startswith("straight/")]
    assert len(names) > 60 and "momentum/0000" in names
    for name in names:
        np.testing.assert_array_equal(reference[f"parts/{name}"], reference[f"straight/{name}"], err_msg=name)


@pytest.mark.slow
def test_sweep_runs_and_keeps_its_rows(tmp_path, given):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/queue.txt").write_text(ROWS)
    arrays = {f"x_{split}": np.repeat(given["images"][:40], 10, 0) for split in ("train", "test")}
    np.savez(tmp_path / "cifar10.npz", **arrays, y_train=np.arange(400) % 10, y_test=np.arange(400) % 10)
    arguments = [f"--queue={tmp_path / 'kept/queue.txt'}", "--program=tools/reference_torch.py",
                 f"--python={other_backends.python_of('torch')}", f"--runs={tmp_path / 'runs'}",
                 f"--data_dir={tmp_path}", "--epochs=10", "--max_steps=1", "--depth=8", "--threads=1"]
    assert sweep.main(arguments) == 0
    assert "| ldam_drw_cmo | done | 10 |" in (tmp_path / "kept/state.md").read_text()
    row = studies.read(tmp_path / "kept/runs.jsonl")["ldam_drw_cmo"]
    assert len(row["per_class"]) == 10 and row["flags"]["mix"] == "cmo" and 0 < row["ece"] < 1
    assert row["best"]["epoch"] in (5, 10) and row["class_counts"][0] == 40
    assert len(row["history"]["loss"]) == 10 and np.isfinite(row["history"]["loss"]).all()
    assert 100 * studies.correct(row).mean() == row["accuracy"]["all"]


def test_sweep_checks_rows_by_the_program_that_will_train_them(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda line, **_: calls.append(line) or SimpleNamespace(returncode=1))
    queue = tmp_path / "queue.txt"
    queue.write_text(ROWS)
    arguments = [f"--queue={queue}", "--program=tools/reference_torch.py", "--python=/bin/torch-python",
                 f"--runs={tmp_path / 'runs'}"]
    assert sweep.main(arguments) == 1
    python, script, *row = calls[0]
    assert python == "/bin/torch-python" and script == os.path.abspath("tools/reference_torch.py")
    assert row == ["--method=ce", f"--run_dir={tmp_path / 'runs' / 'ce'}"]
    queue.write_text("ride --method=ride\n")
    capsys.readouterr()
    assert sweep.main(arguments) == 2 and len(calls) == 1
    assert "sweep: ride: " in capsys.readouterr().err


@pytest.mark.parametrize("path, said", [("nowhere.py", "no such Python file"), ("tools/sweep_rows.py", "no function")])
def test_a_program_that_cannot_train_is_named(path, said):
    with pytest.raises(UserError, match=f"--program={path}: .*{said}"):
        sweep.program_of(path, None)


@pytest.mark.parametrize("arguments, said", [
    (["--method=ride"], "method"), (["--depth=31"], "--depth=31"), (["x"], "'x' is no flag"), ([], "--run_dir"),
    (["--run_dir=R", "--data_dir=nowhere"], "--data_dir=nowhere")])
def test_bad_flags_are_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reference_torch.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_the_committed_queue_can_run():
    rows = sweep.read_queue(f"{sweep.ROOT}/docs/results/cifar10lt_200_torch/reference.txt")
    settings = [reference_torch.parse(arguments) for _, arguments in rows]
    assert [(s.method, s.mix) for s in settings][:2] == [("ce", "none"), ("ce", "cmo")] and len(rows) == 8
    assert {s.epochs for s in settings} == {200}
