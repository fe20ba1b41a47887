"""Promise 1: after kill -9 at any moment the same command ends as if nothing had happened, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cmo_tf.report.results import read_results
from cmo_tf.run import checkpoint, folder
from tests.support import killed_run
from tests.support.fault_runs import assert_undisturbed, small
from tests.support.killed_run import MOMENTS, kill_in
from tests.support.program import ROOT, SHORT, newest, program, start


class Killed(BaseException):
    """No `except` of the program is to see it."""


def die():
    raise Killed


def test_a_save_that_is_killed_at_any_operation_loses_nothing(tmp_path):
    """Every open, rename, removal: what is found afterwards is whole, the old or the new one, and nothing is left."""
    done = subprocess.run([sys.executable, ROOT / "tests/support/killed_saves.py", tmp_path], text=True, cwd=ROOT,
                          capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"killed at {sum(row['killed'] for row in found)} operations")
    assert [row["killed"] for row in found].count(False) == 2 and len(found) > 30
    for row in found:
        assert row["good"] and row["skipped"] == [], row
        assert row["left"] == [f"step-{row['step']:010d}", "step-0000000031"], row
    for saved, known in ((30, {20, 30}), (20, {20})):  # after the old ones, and in place of the only one
        steps = [row["step"] for row in found if row["saved"] == saved]
        assert steps == sorted(steps) and set(steps) == known


def test_killed_inside_three_saves_in_a_row_a_run_ends_the_same(whole, small_networks, no_plots, tmp_path, monkeypatch):
    """Before meta, after meta, before the rename; each time in the second save of a session."""
    run_dir, resumed = tmp_path / "run", []
    for moment in (1, 2, 4):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_in(2, moment, checkpoint, die, patch.setattr)
            small(run_dir)
        left = [p for p in (run_dir / "checkpoints").iterdir() if p.name.startswith(".tmp-")]
        assert len(left) == 1, MOMENTS[moment]
        resumed.append(int(left[0].name[5:15]) if moment == 4 else newest(run_dir))  # whole but for its name
    assert small(run_dir).code == 0
    assert read_results(str(run_dir))["resumed_from_steps"] == resumed
    assert_undisturbed(run_dir, whole)


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    left = [".results.json.123.tmp", ".report.html.9.tmp", ".model.tmp.keras"]
    kept = ["results.json", "x.tmp", ".hidden", "model.keras"]
    for name in left + kept:
        (tmp_path / name).write_text("half")
    for place in (tmp_path / ".tmp-x7", tmp_path / "tensorboard" / ".tmp-y8"):
        place.mkdir(parents=True)
        (place / "x").write_text("half")
    with folder.writing(str(tmp_path)):
        assert sorted(os.listdir(tmp_path)) == sorted([".lock", "tensorboard", *kept])
        assert os.listdir(tmp_path / "tensorboard") == []


def test_a_log_line_that_was_cut_is_ended(tmp_path):
    from cmo_tf.monitoring.progress import Progress
    path = tmp_path / "log.txt"
    path.write_text("2026-01-01 00:00:00 epoch 1/3  lo")
    progress = Progress(str(path), 10, quiet=True)
    progress.line("resuming")
    progress.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 2 and lines[1].endswith(" resuming")


def wait_and_kill(process, seconds, due=lambda: True) -> int:
    """kill -9 some seconds after `due`; the exit code."""
    try:
        while process.poll() is None and not due():
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()
        process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode


def kill_in_save(run_dir, save, moment):
    """A run that kills itself at a moment of writing a checkpoint; its exit code."""
    command = [sys.executable, killed_run.__file__, str(save), str(moment), *SHORT, f"--run_dir={run_dir}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode


@pytest.mark.faults
def test_twelve_kills_in_a_row(finished, tmp_path):
    """Three inside a save, two at any time after the start, six while training, one while the report is made."""
    draw, run_dir = random.Random(20221122), tmp_path / "run"
    plan = [("save", m) for m in (1, 2, 4)] + [("time", 0)] * 2 + [("step", 0)] * 6
    draw.shuffle(plan)
    said = []
    for kind, moment in plan:
        before, seconds = newest(run_dir), draw.random()
        if kind == "save":
            save = draw.randint(1, 4)
            said.append(f"{MOMENTS[moment]} of save {save} from step {before}")
            code = kill_in_save(run_dir, save, moment)
        elif kind == "time":
            said.append(f"{10 * seconds:.2f} s after the start from step {before}")
            code = wait_and_kill(start(*SHORT, f"--run_dir={run_dir}"), 10 * seconds)
        else:
            aim = before + 2 * draw.randint(1, 5)
            said.append(f"{seconds / 10:.3f} s after the checkpoint of step {aim}, from step {before}")
            code = wait_and_kill(start(*SHORT, f"--run_dir={run_dir}"), seconds / 10,
                                 lambda step=aim: newest(run_dir) >= step)
        print(said[-1], "- found", newest(run_dir))
        assert code == -signal.SIGKILL, said
    at_the_end = wait_and_kill(start(*SHORT, f"--run_dir={run_dir}"), 0, (run_dir / "predictions.npz").exists)
    assert at_the_end == -signal.SIGKILL and not (run_dir / "results.json").exists(), said
    ended = program(*SHORT, f"--run_dir={run_dir}")
    assert ended.code == 0, (said, ended.err)
    resumed = read_results(str(run_dir))["resumed_from_steps"]
    print("resumed from", resumed)
    assert resumed == sorted(resumed) and resumed[-1] == 100 and ended.out == finished[1].out, said
    assert_undisturbed(run_dir, finished[0], epochs=25)
    text = Path(run_dir / "log.txt").read_text()
    assert text.endswith("\n") and "Traceback" not in text
