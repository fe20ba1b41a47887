"""A run of 15 steps for the tests of tests/faults, and what must hold whatever has happened to it."""

import contextlib
import resource
from pathlib import Path

from tests.support.method_runs import TINY
from tests.support.program import Ended, assert_same_end, history, program

# Five steps an epoch, all that changes in time: warm-up, re-weighting, mixing, checkpoints inside epochs.
SMALL = [*TINY, "--model=stem_alone", "--method=ce_drw", "--mix=cmo", "--epochs=3", "--eval_every=1",
         "--checkpoint_every_steps=2"]


def small(run_dir, *arguments) -> Ended:
    """That run, inside this process, begun or resumed."""
    return program(*SMALL, *arguments, f"--run_dir={run_dir}")


def points(run_dir) -> dict[str, list[int]]:
    """Tag -> the steps of all its points in all TensorBoard files of a run, in the order of the files."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    found = {}
    for path in sorted((Path(run_dir) / "tensorboard").glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


def assert_nothing_twice(run_dir, epochs) -> None:
    """Each epoch has one row in metrics.csv and one point of each curve on TensorBoard, in order."""
    numbers = list(range(1, epochs + 1))
    assert [int(row["epoch"]) for row in history(run_dir)] == numbers
    found = points(run_dir)
    assert found["loss"] == found["lr"] == numbers
    assert found["accuracy/all"] == [int(row["epoch"]) for row in history(run_dir) if row["all"]]
    assert all(steps == sorted(set(steps)) for steps in found.values()), found


def assert_undisturbed(run_dir, whole, epochs=3) -> None:
    """A run that was disturbed ended as one in one go, and left nothing half written."""
    assert_same_end(whole, run_dir)
    assert_nothing_twice(run_dir, epochs)
    assert not [p for p in Path(run_dir).rglob("*") if "tmp" in p.name]


@contextlib.contextmanager
def file_limit(size):
    """No file of this process grows beyond `size` bytes: the system refuses the rest as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
