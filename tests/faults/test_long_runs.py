"""Promise 13: however long a run is, it takes no more memory, open files and threads, and TensorBoard's files stay few
and small."""

import os
import re
import threading
from pathlib import Path

import pytest

from cmo_tf.monitoring.progress import Progress
from tests.support.fault_runs import SMALL, points
from tests.support.program import program

MEGABYTE = 2**20


def resources() -> dict[str, int]:
    """What this process holds: bytes in memory, open files, threads of the system and of Python."""
    status = Path("/proc/self/status").read_text()
    return {"rss": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024, "files": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")), "python_threads": threading.active_count()}


def run_of(run_dir, steps, looks, monkeypatch, *arguments):
    """A run of some steps; what the process held after each of the steps `looks`."""
    seen, update = {}, Progress.update

    def update_and_look(progress, step):
        update(progress, step)
        if step in looks:
            seen[step] = resources()
    monkeypatch.setattr(Progress, "update", update_and_look)
    ended = program(*SMALL, *arguments, f"--max_steps={steps}", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    for step, found in seen.items():
        print(f"step {step}: {found['rss'] / MEGABYTE:.1f} MB, {found['files']} files, {found['threads']} threads")
    assert sorted(seen) == sorted(looks)
    return seen


def assert_bounded(run_dir, epochs):
    """One TensorBoard file, of a fixed part and some bytes an epoch; checkpoints do not add up."""
    (events,) = (run_dir / "tensorboard").iterdir()
    curves = 12 * 80 * epochs
    print(f"TensorBoard: one file of {events.stat().st_size:,} bytes for {epochs} epochs")
    assert events.stat().st_size < 60_000 + curves
    assert points(run_dir)["loss"] == list(range(1, epochs + 1))
    assert len(list((run_dir / "checkpoints").iterdir())) <= 5


def test_files_and_threads_stay_the_same_for_thirty_epochs(small_networks, no_plots, tmp_path, monkeypatch):
    seen = run_of(tmp_path / "run", 150, (30, 149), monkeypatch, "--epochs=30", "--eval_every=10",
                  "--checkpoint_every=10", "--checkpoint_every_steps=0")
    for what in ("files", "threads", "python_threads"):
        assert seen[149][what] <= seen[30][what], what
    assert_bounded(tmp_path / "run", 30)


@pytest.mark.faults
def test_twenty_thousand_steps(small_networks, tmp_path, monkeypatch):
    """200 epochs of 103 steps on all digits, evaluated and saved after each; with everything that a run does."""
    looks = (2_000, 5_000, 10_000, 15_000, 20_000)
    seen = run_of(tmp_path / "run", 20_001, looks, monkeypatch, "--max_per_class=1000", "--imbalance_ratio=1",
                  "--epochs=200", "--checkpoint_every_steps=50", "--eval_every=1")
    first, last = seen[2_000], seen[20_000]
    print(f"from step 2,000 to 20,000: {(last['rss'] - first['rss']) / MEGABYTE:+.1f} MB")
    for what in ("files", "threads", "python_threads"):
        assert last[what] <= first[what], what
    assert last["rss"] < first["rss"] + 20 * MEGABYTE
    epochs = max(points(tmp_path / "run")["loss"])
    assert epochs > 150
    assert_bounded(tmp_path / "run", epochs)
