"""Who may go on in a run folder, with which flags, and on how many devices."""

import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import Split
from cmo_tf.report.results import read_results
from cmo_tf.run import data as run_data
from cmo_tf.run import folder
from cmo_tf.run.timeline import Timeline
from tests.support.method_runs import TINY
from tests.support.program import SHORT, assert_same_end, assert_same_weights, history, newest, program, tree

pytestmark = pytest.mark.usefixtures("no_plots", "networks")
FLAGS = [*TINY, "--mix=cmo", "--mix_skip_first=1", "--mix_skip_last=1", "--eval_every=4"]  # 5 steps an epoch
HOLD = ("import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); "
        "time.sleep(60)")


@pytest.fixture(scope="module")
def begun(tmp_path_factory, no_plots, networks):
    """A run of six epochs that was stopped in the second. Nothing may change it."""
    run_dir = tmp_path_factory.mktemp("begun") / "run"
    ended = program(*FLAGS, "--epochs=6", "--max_steps=7", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir


def refused(run_dir, *arguments) -> str:
    """The one line of a command that a folder refuses, as it is afterwards too."""
    before = tree(run_dir)
    ended = program(*arguments, f"--run_dir={run_dir}")
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1
    assert ended.err.startswith(f"cmo_tf: --run_dir={run_dir}: ")
    assert tree(run_dir) == before
    return ended.err


def test_other_flags_are_refused_with_a_diff(finished, begun):
    for run_dir, flags in ((finished[0], SHORT), (begun, [*FLAGS, "--epochs=6"])):
        line = refused(run_dir, *flags, "--lr=0.05", "--mix=none")
        assert "(--lr: was 0.02, now 0.05, --mix: was cmo, now none)" in line
        assert "Repeat those to resume it, or name another --run_dir" in line
    line = refused(begun, *FLAGS, "--epochs=6", "--imbalance_ratio=10", "--nesterov", "--cutout_size=3")
    assert ("--cutout_size: was unset, now 3, --imbalance_ratio: was 20.0, now 10.0, --nesterov: was false, now true"
            in line)


def test_two_runs_do_not_share_a_folder(begun, tmp_path):
    """The second is refused while a process holds the lock; however that ends, the file that it leaves holds nobody."""
    run_dir = shutil.copytree(begun, tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run_dir / ".lock")], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            assert "another run is writing there; wait for it or name another folder" in refused(run_dir, *FLAGS)
        finally:
            holder.kill()
    (run_dir / ".lock").write_text("4194304 some-host\n")
    lock = folder.open_run(str(run_dir))
    with pytest.raises(UserError, match="another run is writing there"):
        folder.open_run(str(run_dir))
    folder.close_run(str(run_dir), lock)
    folder.close_run(str(run_dir), folder.open_run(str(run_dir)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, no_plots, networks):
    """The run that `begun` becomes with four epochs, in one go. Nothing may change it."""
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    ended = program(*FLAGS, "--epochs=4", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir


def test_more_or_fewer_epochs_and_flags_that_change_no_step(begun, undisturbed, tmp_path):
    """Four epochs instead of six, other places for data, other checkpoints, no longer stopping: as in one go."""
    run_dir = shutil.copytree(begun, tmp_path / "run")
    ended = program(*FLAGS, "--epochs=4", "--data_dir=elsewhere", "--nodownload", "--cache=eval",
                    "--checkpoint_every=3", "--checkpoint_every_steps=4", "--max_bad=0.2", "--num_devices=0",
                    "--on_nan=rollback", "--nan_rate_factor=0.5", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert read_results(str(run_dir))["resumed_from_steps"] == [7]
    assert_same_end(run_dir, undisturbed)


def test_another_evaluation_batch_changes_no_weight_and_no_more_than_rounding(begun, undisturbed, tmp_path):
    """Kernels go by the size of a batch, so that logits of the same image round differently."""
    run_dir = shutil.copytree(begun, tmp_path / "run")
    ended = program(*FLAGS, "--epochs=4", "--eval_batch_size=7", f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert_same_weights(run_dir, undisturbed)
    with np.load(undisturbed / "predictions.npz") as one_go, np.load(run_dir / "predictions.npz") as resumed:
        np.testing.assert_array_equal(resumed["labels"], one_go["labels"])
        np.testing.assert_allclose(resumed["confidence"], one_go["confidence"], atol=1e-5)


@pytest.fixture
def may_resume(tmp_path):
    """Function (flags of the run, steps that it did, flags now) -> whether it may go on, by its flags alone."""
    def ask(flags, step, now, rollback=None):
        before, config = (parse([*TINY, *more])[0] for more in (flags, now))
        folder.write_flags(str(tmp_path), before)
        meta = {"step": step, "steps_per_epoch": 5, "rollback": rollback}
        try:
            folder.check_same_run(str(tmp_path), config, meta)
        except UserError as error:
            assert str(error).startswith(f"--run_dir={tmp_path}: holds a run with other flags (--")
            return False
        return True
    return ask


EPOCHS = [
    # flags of both, epochs before, steps done, epochs now: the rate drops at 80 and 90 % of them.
    ([], 10, 40, 20, True),
    ([], 10, 41, 20, False),  # the ninth epoch, of which a step is done, had a lower rate
    ([], 20, 40, 10, True),
    ([], 20, 41, 10, False),
    ([], 20, 41, 8, False),  # there is no ninth
    (["--lr_drops="], 20, 40, 8, True),
    (["--lr_drops="], 20, 41, 8, False),
    (["--schedule=cosine"], 10, 1, 11, True),  # warm-up
    (["--schedule=cosine"], 10, 10, 11, True),  # the first epoch after it
    (["--schedule=cosine"], 10, 11, 11, False),
    (["--schedule=cosine", "--warmup_epochs=3"], 10, 15, 20, True),
    (["--mix=cmo", "--mix_skip_last=4", "--lr_drops="], 10, 30, 20, True),
    (["--mix=cmo", "--mix_skip_last=4", "--lr_drops="], 10, 31, 20, False),  # the seventh was unmixed
    (["--mix=cmo", "--mix_skip_first=4", "--mix_skip_last=4", "--lr_drops="], 8, 20, 20, True),  # no window at all
    (["--mix=cmo", "--mix_skip_first=4", "--mix_skip_last=4", "--lr_drops="], 8, 21, 20, False),
    (["--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=9", "--lr_drops="], 8, 1, 20, False),
    (["--method=ce_drw", "--lr_drops="], 10, 40, 20, True),
    (["--method=ce_drw", "--lr_drops="], 10, 41, 20, False),  # re-weighted
    (["--method=ce_drw", "--lr_drops=", "--reweight_start=3"], 10, 50, 20, True),
    (["--loss=ib", "--lr_drops=", "--ib_start=0.5"], 10, 25, 20, True),
    (["--loss=ib", "--lr_drops=", "--ib_start=0.5"], 10, 26, 20, False),
    (["--sampler=progressive"], 10, 5, 20, True),
    (["--sampler=progressive"], 10, 6, 20, False),  # the second epoch had other images
    (["--sampler=class_balanced"], 10, 6, 20, True),
    (["--method=crt"], 10, 1, 11, False),  # stages: whatever hangs on them
    (["--method=bbn", "--model=resnet32"], 10, 1, 11, False),
]


@pytest.mark.parametrize("flags, before, step, now, may", EPOCHS)
def test_another_number_of_epochs(flags, before, step, now, may, may_resume):
    assert may_resume([*flags, f"--epochs={before}"], step, [*flags, f"--epochs={now}"]) == may
    assert may_resume([*flags, f"--epochs={before}"], step, [*flags, f"--epochs={before}"])
    if may:  # beside it nothing else may change
        assert not may_resume([*flags, f"--epochs={before}"], step, [*flags, f"--epochs={now}", "--l2=1e-3"])


@pytest.mark.parametrize("schedule", ["step", "cosine", "cosine_ahead", "cosine_from_peak"])
def test_what_epochs_change_is_what_is_refused(schedule, may_resume):
    """Against the schedules themselves, step by step, at the ends of epochs and right after them."""
    flags = [f"--schedule={schedule}", "--mix=cmo", "--mix_skip_last=2", "--method=ce_drw", "--warmup_epochs=2"]
    base = parse([*TINY, *flags])[0]

    def course(epochs):
        timeline = Timeline(dataclasses.replace(base, epochs=epochs), 5)
        first, stop = timeline.mix_steps
        return [(timeline.lr(step // 5), step // 5 >= timeline.reweight_start, first <= step < stop)
                for step in range(5 * epochs)]
    for before, now in ((6, 9), (12, 3), (5, 6)):
        for step in [5 * epoch + more for epoch in range(before) for more in (0, 1)]:
            alike = course(before)[:step] == course(now)[:step]
            assert may_resume([*flags, f"--epochs={before}"], step, [*flags, f"--epochs={now}"]) == alike


def test_the_factor_of_a_rate_is_free_until_it_was_used(may_resume):
    assert may_resume([], 7, ["--on_nan=rollback", "--nan_rate_factor=0.5"])
    used = {"from_step": 6, "to_step": 5, "rate_factor": 0.1}
    assert may_resume([], 7, ["--on_nan=rollback"], rollback=used)
    assert not may_resume([], 7, ["--nan_rate_factor=0.5"], rollback=used)


@pytest.mark.faults
def test_on_another_number_of_devices(tmp_path):
    """It may go on, and says so. With statistics over all replicas it ends where one device does, to rounding, which
    the epoch that was cut shows too: each replica's part of its running means counts once."""
    flags = [*TINY, "--strategy=mirrored", "--batch_size=16", "--drop_remainder", "--lr=1e-4", "--sync_bn"]  # 4 steps
    undisturbed = tmp_path / "undisturbed"
    assert program(*flags, "--num_devices=1", f"--run_dir={undisturbed}").code == 0
    assert read_results(str(undisturbed))["replicas"] == [[0, 1]]
    for before, now in ((2, 1), (1, 2)):
        run_dir = tmp_path / str(before)
        assert program(*flags, f"--num_devices={before}", "--max_steps=3", f"--run_dir={run_dir}").code == 0
        ended = program(*flags, f"--num_devices={now}", f"--run_dir={run_dir}")
        assert ended.code == 0, ended.err
        said = f"warning: {before} replicas until here, {now} from here on: "
        assert said in ended.err and said in (run_dir / "log.txt").read_text()
        assert read_results(str(run_dir))["replicas"] == [[0, before], [3, now]]
        for row, other in zip(history(run_dir), history(undisturbed), strict=True):
            assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)
    line = refused(run_dir, *[f for f in flags if f != "--sync_bn"], "--strategy=none")
    assert "--strategy: was mirrored, now none" in line


@pytest.mark.faults
def test_other_images_are_refused(tmp_path):
    from tests.support.photo_folder import make
    make(tmp_path / "photos", largest=6, ratio=3)
    flags = [*TINY, f"--dataset=folder:{tmp_path / 'photos'}", "--imbalance_ratio=1", "--image_size=16",
             "--batch_size=4"]
    run_dir = tmp_path / "run"
    assert program(*flags, "--max_steps=2", f"--run_dir={run_dir}").code == 0
    picture = next(path for path in sorted((tmp_path / "photos").rglob("*")) if path.is_file())
    picture.unlink()
    before = tree(run_dir)
    ended = program(*flags, f"--run_dir={run_dir}")
    assert ended.code == 2 and "missing or changed since the run was trained" in ended.err
    assert tree(run_dir) == before and newest(run_dir) == 2


def test_other_labels_are_other_data(begun, tmp_path, monkeypatch):
    """The same row numbers of a set in another order, as TFDS and file lists have it."""
    run_dir = shutil.copytree(begun, tmp_path / "run")
    load = run_data.load

    def shuffled(config, kept=None):
        data = load(config, kept)
        return dataclasses.replace(data, train=Split(data.train.images, data.train.labels[::-1].copy()))

    before = tree(run_dir)
    monkeypatch.setattr(run_data, "load", shuffled)
    ended = program(*FLAGS, "--epochs=6", f"--run_dir={run_dir}")
    assert ended.code == 2 and "(fingerprint of the labels " in ended.err and "give it the old data" in ended.err
    after = tree(run_dir)
    assert {k: v for k, v in after.items() if k != "log.txt"} == {k: v for k, v in before.items() if k != "log.txt"}
