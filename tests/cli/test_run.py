"""One run from flags to report; resuming, refusing, and leaving alone."""

import json
import random
import shutil
import signal

import numpy as np
import pytest
from program import SHORT, assert_same_end, history, newest, program, stop_at, tree

from cmo_tf.evaluation.results import read_results

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


def test_other_flags_are_refused_with_a_diff(finished, begun):
    for run_dir in (finished[0], begun):
        before = tree(run_dir)
        refused = program(*SHORT, "--lr=0.05", "--mix=none", f"--run_dir={run_dir}")
        assert refused.code == 2
        assert refused.err.count("\n") == 1
        assert "--lr: was 0.02, now 0.05" in refused.err and "--mix: was cmo, now none" in refused.err
        assert "--run_dir" in refused.err
        assert tree(run_dir) == before


def test_two_runs_do_not_share_a_folder(copy_of_begun):
    from filelock import FileLock
    before = tree(copy_of_begun)
    with FileLock(copy_of_begun / ".lock"):
        refused = program(*SHORT, f"--run_dir={copy_of_begun}")
    assert refused.code == 2
    assert "another run" in refused.err and refused.err.count("\n") == 1
    assert tree(copy_of_begun) == before


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


def test_without_a_good_checkpoint_nothing_is_overwritten(copy_of_begun):
    for folder in (copy_of_begun / "checkpoints").iterdir():
        damage(folder / "arrays.npz")
    before = tree(copy_of_begun)
    refused = program(*SHORT, f"--run_dir={copy_of_begun}")
    assert refused.code == 2
    assert "no good checkpoint" in refused.err and refused.err.count("\n") == 1
    assert tree(copy_of_begun) == before


def test_terminated_and_interrupted_it_ends_the_same(finished, tmp_path):
    """SIGTERM and SIGINT at random moments of one run, then the rest in one go."""
    run_dir = tmp_path / "run"
    moments = [random.randint(2, 40), random.randint(55, 75)]
    print("moments:", moments)
    saved = []
    for moment, number, code in ((moments[0], signal.SIGTERM, 143), (moments[1], signal.SIGINT, 130)):
        stopped = stop_at(moment, number, run_dir, *SHORT)
        assert stopped.code == code, stopped.err
        saved.append(newest(run_dir))
        assert f"stopped by a signal at step {saved[-1]}; saved" in stopped.err
        assert stopped.err.splitlines()[-1].startswith("cmo_tf: stopped by SIG") and stopped.out == ""
    ended = program(*SHORT, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert read_results(str(run_dir))["resumed_from_steps"] == saved
    assert_same_end(finished[0], run_dir)
    assert_each_epoch_once(run_dir)


def assert_each_epoch_once(run_dir) -> None:
    """TensorBoard shows no point twice, whatever was interrupted."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    assert [e.step for e in events.Tensors("loss")] == list(range(1, 26))
    assert [e.step for e in events.Tensors("accuracy/all")] == [5, 10, 15, 20, 25]


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    for arguments, told in ((["--epocs=3"], "epocs"), (["--epochs=0"], "--epochs=0"), (["stray"], "stray"),
                            (["--dataset=cifar11"], "cifar10"), (["--method=bs", "--loss=ce"], "--method=bs"),
                            (["--mode=eval", f"--run_dir={tmp_path}"], str(tmp_path)), (["--mode=eval"], "--run_dir")):
        ended = program(*arguments)
        assert ended.code == 2
        assert told in ended.err and ended.err.count("\n") == 1 and ended.out == ""


def damage(path) -> None:
    """Changes one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
