"""One run from flags to report; resuming, and leaving alone. What is refused is in tests/faults."""

import json
import shutil

import numpy as np
import pytest

from cmo_tf.report.results import read_results
from tests.support.program import SHORT, assert_same_end, damage, history, newest, program, tree

FILES = {"results.json", "flags.cfg", "metrics.csv", "log.txt", "predictions.npz", "panel.png", "report.html",
         "report.md", "model.keras"}
KEYS = {"accuracy", "best", "per_class", "class_counts", "ece", "epochs", "steps", "resumed_from_steps", "seed",
        "split_fingerprint", "images_per_second", "seconds", "peak_rss_bytes", "flags", "versions"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of SHORT that --max_steps stopped at step 51, inside an epoch, with a report."""
    run_dir = tmp_path_factory.mktemp("begun") / "run"
    ended = program(*SHORT, "--max_steps=51", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir


@pytest.fixture
def copy_of_begun(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


def test_a_run_leaves_what_it_promises(finished):
    run_dir, ended = finished
    assert ended.code == 0, ended.err
    assert FILES <= {p.name for p in run_dir.iterdir()}
    found = json.loads((run_dir / "results.json").read_text())
    assert KEYS <= set(found)
    assert set(found["accuracy"]) == {"all", "many", "medium", "few"}
    assert set(found["best"]) == {"accuracy", "epoch", "split"}
    assert found["class_counts"] == [20, 14, 10, 7, 5, 3, 2, 1, 1, 1]
    assert found["steps"] == 100 and found["epochs"] == 25 and found["resumed_from_steps"] == []
    rows = history(run_dir)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 26))
    assert [row["all"] != "" for row in rows] == [(e + 1) % 5 == 0 for e in range(25)]
    assert float(rows[-1]["all"]) == found["accuracy"]["all"]
    assert "\n--run_dir" not in (run_dir / "flags.cfg").read_text()
    assert not [p for p in run_dir.rglob("*") if "tmp" in p.name]


def test_the_last_line_is_the_accuracy(finished):
    run_dir, ended = finished
    values = read_results(str(run_dir))["accuracy"]
    shown = " ".join(f"{k}={'n/a' if v is None else format(v, '.2f')}" for k, v in values.items())
    assert ended.out == f"accuracy: {shown}\n"


def test_predictions_are_those_of_the_test_set(finished):
    run_dir, _ = finished
    with np.load(run_dir / "predictions.npz") as saved:
        assert saved["labels"].dtype == saved["predicted"].dtype == np.int64
        assert saved["confidence"].dtype == np.float32
        share = np.mean([np.mean(saved["predicted"][saved["labels"] == k] == k) for k in range(10)])
    assert read_results(str(run_dir))["accuracy"]["all"] == pytest.approx(100 * share)


def test_the_same_command_again_changes_nothing(finished):
    run_dir, ended = finished
    before = tree(run_dir)
    again = program(*SHORT, f"--run_dir={run_dir}")
    assert again.code == 0, again.err
    assert again.out.splitlines()[-1] == ended.out.strip()
    assert tree(run_dir) == before


def test_evaluation_from_the_folder_alone(finished):
    run_dir, ended = finished
    before = tree(run_dir)
    evaluated = program("--mode=eval", f"--run_dir={run_dir}")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.out == ended.out
    assert tree(run_dir) == before


def test_flags_cfg_runs_it_again(finished):
    run_dir, ended = finished
    again = program(f"--flagfile={run_dir / 'flags.cfg'}")
    assert again.code == 0, again.err
    assert again.out == ended.out
    assert_same_end(run_dir, run_dir.with_name("whole-again"))


def test_max_steps_and_then_the_rest_equals_one_go(finished, copy_of_begun):
    """Also past a newest checkpoint that is damaged: it is skipped, named, and made again."""
    assert read_results(str(copy_of_begun))["steps"] == 51
    newest_one = copy_of_begun / "checkpoints" / f"step-{newest(copy_of_begun):010d}"
    damage(newest_one / "arrays.npz")
    ended = program(*SHORT, f"--run_dir={copy_of_begun}")
    assert ended.code == 0, ended.err
    log = (copy_of_begun / "log.txt").read_text()
    assert f"skipped {newest_one.name}: arrays.npz does not match its checksum" in log
    assert_same_end(finished[0], copy_of_begun)
    assert read_results(str(copy_of_begun))["resumed_from_steps"] == [50]
