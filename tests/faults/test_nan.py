"""A loss that is no longer finite: the run stops and says where, or goes back once with a lower rate.

The influence-balanced loss with a factor of 1e30 from the second epoch on is the source: its first step ruins the
weights, and the next one has no finite loss. A rate of 1e-32 times as much is one that it can be trained with.
"""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from cmo_tf import config as configuration
from cmo_tf.classifier import build
from cmo_tf.report.results import read_results
from cmo_tf.run import data as run_data
from cmo_tf.run import rollback, stages
from cmo_tf.run.checkpoint import CheckpointStore
from tests.support.method_runs import TINY
from tests.support.program import assert_same_end, history, kill_at, newest, program, stop_at

pytestmark = pytest.mark.usefixtures("no_plots", "networks")
RUINED = [*TINY, "--loss=ib", "--ib_start=1", "--ib_alpha=1e30", "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0",
          "--probability=1", "--epochs=3", "--eval_every=3", "--checkpoint_every_steps=2"]  # 5 steps an epoch
RESCUE = ["--on_nan=rollback", "--nan_rate_factor=1e-32"]


def checkpoints(run_dir) -> list[dict]:
    """Arrays of all checkpoints, oldest first; each is good."""
    store = CheckpointStore(str(Path(run_dir) / "checkpoints"))
    found = [store.load(up_to=step) for step in store.steps()]
    assert [meta["step"] for _, meta, _ in found] == store.steps()
    return [arrays for arrays, _, _ in found]


def one_line(ended) -> str:
    """The line for the user of a run that ended badly."""
    assert ended.code == 2 and ended.out == ""
    lines = [line for line in ended.err.splitlines() if line.startswith("cmo_tf: ")]
    assert len(lines) == 1 and ended.err.endswith(f"{lines[0]}\n") and "Traceback" not in ended.err
    return lines[0]


def went_back(run_dir) -> dict:
    return read_results(str(run_dir))["rollback"]


@pytest.fixture(scope="module")
def rescued(tmp_path_factory, no_plots, networks):
    """The run that goes back by itself, in one go. Nothing may change it."""
    run_dir = tmp_path_factory.mktemp("rescued") / "run"
    ended = program(*RUINED, *RESCUE, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir, ended


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, no_plots, networks):
    """The run that stops at it, and how."""
    run_dir = tmp_path_factory.mktemp("stopped") / "run"
    return run_dir, program(*RUINED, f"--run_dir={run_dir}")


def test_a_run_stops_and_says_step_rate_and_rows(stopped):
    run_dir, ended = stopped
    config = configuration.parse(RUINED)[0]
    data = run_data.load(config)
    timeline = stages.legs(config, len(data.train))[0].timeline
    batch = next(iter(build.stream(config, data, timeline, 6)))  # the seventh
    p, q = (batch[name].numpy().tolist() for name in ("index", "index_q"))
    assert p != q
    line = one_line(ended)
    assert line.startswith("cmo_tf: the loss is nan at step 7 (epoch 2, learning rate 0.02, rows ")
    assert f"rows {', '.join(map(str, p))} of P and {', '.join(map(str, q))} of Q; " in line
    assert "the checkpoint of step 6 is kept" in line and "--on_nan=rollback" in line
    told = json.loads((run_dir / rollback.FILE).read_text())
    assert (told["what"], told["step"], told["epoch"], told["learning_rate"]) == ("loss is nan", 7, 2, 0.02)
    assert told["index"] == p and told["index_q"] == q
    assert told["label"] == batch["label"].numpy().tolist() and len(told["lam"]) == 14
    assert line.removeprefix("cmo_tf: ").split("; the checkpoint")[0] in (run_dir / "log.txt").read_text()


def test_no_checkpoint_holds_what_is_not_finite(stopped):
    run_dir, _ = stopped
    kept = checkpoints(run_dir)
    assert newest(run_dir) == 6 and len(kept) == 2
    assert all(np.isfinite(a).all() for arrays in kept for a in arrays.values() if a.dtype.kind == "f")
    assert not {"results.json", "model.keras", "predictions.npz"} & {p.name for p in run_dir.iterdir()}


def test_back_once_and_on_with_a_lower_rate(rescued):
    """To step 5, not 6: its weights gave the loss that is not finite."""
    run_dir, ended = rescued
    assert went_back(run_dir) == {"from_step": 7, "to_step": 5, "what": "loss is nan", "rate_factor": 1e-32}
    said = "went back from step 7 to 5 and on with 1e-32 times the learning rate (--on_nan=rollback)"
    assert said in ended.err and said in (run_dir / "log.txt").read_text()
    rates = [float(row["lr"]) for row in history(run_dir)]
    assert rates[0] == 0.02 and rates[1:] == pytest.approx([2e-34, 2e-36])
    assert read_results(str(run_dir))["steps"] == 15
    assert "went back" in (run_dir / "log.txt").read_text()


def test_a_stopped_run_goes_on_by_the_flag_and_ends_alike(rescued, stopped, tmp_path):
    """`--on_nan` is no flag that finished steps hang on."""
    run_dir = shutil.copytree(stopped[0], tmp_path / "run")
    ended = program(*RUINED, *RESCUE, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert_same_end(rescued[0], run_dir)
    assert went_back(run_dir) == went_back(rescued[0])
    # From then on the factor is part of what happened.
    refused = program(*RUINED, "--on_nan=rollback", "--nan_rate_factor=0.5", f"--run_dir={run_dir}")
    assert refused.code == 2 and "--nan_rate_factor: was 1e-32, now 0.5" in refused.err


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """A rate that is infinite in float32: the loss of the first step is fine, its weights are not."""
    ended = program(*TINY, "--lr=1e39", "--checkpoint_every_steps=1", f"--run_dir={tmp_path / 'run'}")
    line = one_line(ended)
    assert "is no longer finite at step 1 (epoch 1, learning rate 1e+39, rows " in line
    assert "there was no checkpoint yet" in line
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_second_time_it_stops(tmp_path):
    """From the beginning, where there is no checkpoint yet; one of step 0 then tells that the run went back."""
    run_dir = tmp_path / "run"
    line = one_line(program(*TINY, "--lr=1e30", "--on_nan=rollback", f"--run_dir={run_dir}"))
    assert "the loss is nan at step 2 (epoch 1, learning rate 1e+29, " in line
    assert "The run went back from step 2 to 0 and on with 0.1 times the learning rate" in line
    assert "the checkpoint of step 0 is kept" in line and "lower --lr" in line
    assert newest(run_dir) == 0 and len(checkpoints(run_dir)) == 1
    assert not (run_dir / "results.json").exists()


def test_a_step_reads_nothing_more_from_the_device(monkeypatch, tmp_path):
    """What is looked at is a number already: Keras reads the logs of each step for its own callbacks."""
    seen = []
    monkeypatch.setattr(rollback, "check_loss", seen.append)
    assert program(*TINY, "--max_steps=3", f"--run_dir={tmp_path / 'run'}").code == 0
    assert len(seen) == 3 and all(type(value) is float for value in seen)


@pytest.mark.faults
def test_stopped_before_between_and_after_it_ends_alike(rescued, tmp_path):
    """Stops leave checkpoints that the undisturbed run has not; it is not these that a run goes back to."""
    run_dir = tmp_path / "run"
    for step in (3, 4, 7, 8, 11):
        ended = program(*RUINED, *RESCUE, f"--max_steps={step}", f"--run_dir={run_dir}")
        assert ended.code == 0, ended.err
    assert program(*RUINED, *RESCUE, f"--run_dir={run_dir}").code == 0
    assert read_results(str(run_dir))["resumed_from_steps"] == [3, 4, 7, 8, 11]
    assert went_back(run_dir) == went_back(rescued[0])
    assert_same_end(rescued[0], run_dir)
    for number, moment in ((signal.SIGTERM, 5), (signal.SIGINT, 8)):
        signalled = tmp_path / str(number)
        stop_at(moment, number, signalled, *RUINED, *RESCUE)
        assert program(*RUINED, *RESCUE, f"--run_dir={signalled}").code == 0
        assert_same_end(rescued[0], signalled)


@pytest.mark.faults
def test_killed_before_and_after_it_ends_alike(tmp_path):
    flags = [*RUINED, "--model=resnet20", *RESCUE]
    assert program(*flags, f"--run_dir={tmp_path / 'whole'}").code == 0
    for moment in (5, 6, 8):
        run_dir = tmp_path / str(moment)
        kill_at(moment, run_dir, *flags)
        assert program(*flags, f"--run_dir={run_dir}").code == 0
        assert_same_end(tmp_path / "whole", run_dir)
        assert went_back(run_dir) == went_back(tmp_path / "whole")


@pytest.mark.faults
def test_the_same_command_comes_to_the_same_end(tmp_path):
    """Where the second time was the last: it resumes, and goes back no second time."""
    flags = [*RUINED, "--on_nan=rollback", "--nan_rate_factor=0.5", f"--run_dir={tmp_path / 'run'}"]
    first = one_line(program(*flags))
    assert "went back from step 7 to 5 and on with 0.5 times" in first
    assert one_line(program(*flags)) == first


@pytest.mark.faults
def test_in_a_second_stage(tmp_path):
    """Back to the end of the first one; the lower rate is that of what follows."""
    flags = [*TINY, "--method=crt", "--stage2_lr=1e30", "--stage2_epochs=2", *RESCUE]
    assert program(*flags, f"--run_dir={tmp_path / 'whole'}").code == 0
    told = went_back(tmp_path / "whole")
    assert (told["to_step"], told["rate_factor"]) == (10, 1e-32) and told["from_step"] > 11
    assert [float(row["lr"]) for row in history(tmp_path / "whole")] == pytest.approx([0.02, 0.02, 0.005, 0])
    for step in (8, 12, 17):
        assert program(*flags, f"--max_steps={step}", f"--run_dir={tmp_path / 'parts'}").code == 0
    assert program(*flags, f"--run_dir={tmp_path / 'parts'}").code == 0
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.faults
@pytest.mark.parametrize("more", [["--strategy=mirrored"], ["--gradient_accumulation=2"]], ids=lambda more: more[0])
def test_on_several_devices_and_in_halves(more, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert "nan at step" in one_line(program(*RUINED, *more, f"--run_dir={parts}"))
    for run_dir in (parts, whole):
        ended = program(*RUINED, *RESCUE, *more, f"--run_dir={run_dir}")
        assert ended.code == 0, ended.err
    assert went_back(parts)["to_step"] == 5
    assert_same_end(whole, parts)


@pytest.mark.faults
def test_several_workers_go_back_together(tmp_path):
    from tests.support.worker_runs import Workers
    flags = [*RUINED, "--model=resnet20", *RESCUE]
    for ended in Workers(2, tmp_path / "run", *flags).end():  # at the end they compare their weights
        assert ended.code == 0, ended.err
    assert went_back(tmp_path / "run")["to_step"] == 5
