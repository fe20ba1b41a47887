"""Runs of the program for tests: inside this process or beside it, and what they must have in common."""

import contextlib
import csv
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

# A run of 100 steps that does all there is: warm-up, drops, re-weighting, mixing, checkpoints inside epochs.
SHORT = ("--dataset=digits --imbalance_ratio=20 --max_per_class=20 --model=resnet20 --method=ce_drw --mix=cmo "
         "--epochs=25 --batch_size=16 --lr=0.02 --warmup_epochs=1 --mix_skip_first=2 --mix_skip_last=1 --eval_every=5 "
         "--many_above=15 --few_below=2 --checkpoint_every_steps=2").split()


class Ended(NamedTuple):
    """How a run ended."""

    code: int
    out: str
    err: str


def program(*arguments) -> Ended:
    """`python -m cmo_tf.main ARGUMENTS`, inside this process."""
    from cmo_tf.main import main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def start(*arguments) -> subprocess.Popen:
    """The same in a process of its own, which can be killed."""
    return subprocess.Popen([sys.executable, "-m", "cmo_tf.main", *map(str, arguments)], cwd=ROOT, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_at(step: int, run_dir, *arguments) -> Ended:
    """Starts a run beside this process and kills it (-9) soon after a checkpoint of `step` or later is there."""
    process = start(*arguments, f"--run_dir={run_dir}")
    try:
        while process.poll() is None and newest(run_dir) < step:
            time.sleep(0.002)
        time.sleep(random.random() * 0.05)
        process.kill()
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def stop_at(step: int, number: int, run_dir, *arguments) -> Ended:
    """Runs inside this process, which gets a signal soon after a checkpoint of `step` or later is there."""
    over = threading.Event()

    def send():
        while not over.is_set() and newest(run_dir) < step:
            time.sleep(0.002)
        time.sleep(random.random() * 0.05)
        os.kill(os.getpid(), number)

    before = signal.signal(number, lambda *_: None)  # one that comes too late must not end the tests
    sender = threading.Thread(target=send)
    sender.start()
    try:
        return program(*arguments, f"--run_dir={run_dir}")
    finally:
        over.set()
        sender.join()
        signal.signal(number, before)


def newest(run_dir) -> int:
    """Step of the newest checkpoint; 0 without one."""
    from cmo_tf.run.checkpoint import CheckpointStore
    return max(CheckpointStore(str(Path(run_dir) / "checkpoints")).steps(), default=0)


def tree(run_dir) -> dict[str, tuple[int, str]]:
    """File -> (time of change, SHA-256) of everything in a run folder but the lock."""
    files = (p for p in sorted(Path(run_dir).rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(run_dir)): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
            for p in files}


def damage(path, place=0.5) -> None:
    """Changes one bit of a file, at a share of its length."""
    data = bytearray(Path(path).read_bytes())
    data[int(len(data) * place)] ^= 1
    Path(path).write_bytes(data)


def history(run_dir) -> list[dict]:
    """Rows of metrics.csv without what the clock decides."""
    with open(Path(run_dir) / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def assert_same_end(one, other) -> None:
    """Two runs ended alike to the bit: every array of the last checkpoint, history, predictions."""
    assert_same_weights(one, other)
    assert history(one) == history(other)
    assert (Path(one) / "predictions.npz").read_bytes() == (Path(other) / "predictions.npz").read_bytes()


def assert_same_weights(one, other) -> None:
    """Every array of two runs' last checkpoints is equal to the bit."""
    from cmo_tf.run.finished import weights
    first, second = weights(str(one)), weights(str(other))
    assert len(first) == len(second) > 5
    # Keras numbers its names through a process, so that only the order is the same.
    for (name, array), other_array in zip(first.items(), second.values(), strict=True):
        assert array.dtype == other_array.dtype
        np.testing.assert_array_equal(array, other_array, err_msg=name)
