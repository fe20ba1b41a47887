"""The quickstart: what it reaches, what it needs, and that kill -9 does it no harm."""

import random
import signal

import pytest

from cmo_tf.report.results import read_results
from tests.support.program import assert_same_end, kill_at, newest, program, start

FLAGFILE = "--flagfile=flags/quickstart.cfg"
STEPS = 240


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted quickstart."""
    run_dir = tmp_path_factory.mktemp("quickstart") / "whole"
    ended = program(FLAGFILE, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    return run_dir


def test_it_learns_the_rare_digits_too(whole):
    found = read_results(str(whole))
    assert found["flags"]["imbalance_ratio"] == 20 and found["flags"]["mix"] == "cmo"
    assert found["steps"] == STEPS
    assert found["accuracy"]["all"] > 88 and found["accuracy"]["few"] > 60


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_it_ends_the_same(kills, whole, tmp_path):
    """Killed at random moments, checkpoints inside epochs or not; the end is reached in a process of its own."""
    run_dir = tmp_path / "run"
    moments = sorted(random.sample(range(1, STEPS - 40), kills))
    print("moments:", moments)
    for moment in moments:
        killed = kill_at(moment, run_dir, FLAGFILE, f"--checkpoint_every_steps={random.choice((0, 3))}")
        assert killed.code == -signal.SIGKILL
    last = newest(run_dir)
    process = start(FLAGFILE, f"--run_dir={run_dir}")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].startswith("accuracy: all=")
    found = read_results(str(run_dir))
    assert found["resumed_from_steps"][-1] == last
    assert found["peak_rss_bytes"] < 1.5e9
    assert_same_end(whole, run_dir)
