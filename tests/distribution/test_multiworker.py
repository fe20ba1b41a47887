"""Several hosts, played by real processes on the loopback."""

import signal
import time

import numpy as np
import pytest

from cmo_tf.report.results import read_results
from tests.support.program import assert_same_end, newest, program, tree
from tests.support.worker_runs import TINY, Workers, message

pytestmark = pytest.mark.slow


def ended_well(workers):
    for ended in workers.end():
        assert ended.code == 0, ended.err
        assert "accuracy: all=" in ended.out


def weights(run_dir):
    from cmo_tf.run import finished
    return {k: v for k, v in finished.weights(str(run_dir)).items() if not k.startswith("metric")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run of two workers. At its end they have found their weights to be the same, bit for bit."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    ended_well(Workers(2, run_dir, *TINY, "--sync_bn"))
    return run_dir


def test_two_and_four_workers_equal_one_process(tmp_path):
    """An epoch of 5 steps, the last one with 4 rows. (A seed at which no ReLU sits so near 0 that rounding decides.)"""
    settings = [*TINY, "--seed=1", "--max_steps=5"]
    assert program(*settings, f"--run_dir={tmp_path / 'one'}").code == 0
    alone = weights(tmp_path / "one")
    for number in (2, 4):
        run_dir = tmp_path / f"of-{number}"
        ended_well(Workers(number, run_dir, *settings, "--sync_bn"))
        assert read_results(str(run_dir))["steps"] == 5
        apart = [np.abs(a.astype(float) - b).max() / max(1.0, np.abs(a).max()) for a, b in
                 zip(alone.values(), weights(run_dir).values(), strict=True) if a.size]
        print(f"{number} workers: largest difference {max(apart):.2g}")
        assert max(apart) < 1e-5


def test_stopped_killed_and_resumed_it_ends_the_same(undisturbed, tmp_path):
    """SIGTERM to a worker stops all after saving; a killed one ends the others; the same command goes on."""
    run_dir = tmp_path / "run"
    stopped = Workers(2, run_dir, *TINY, "--sync_bn")
    for ended in stopped.signal_at(2, 1, signal.SIGTERM):
        assert ended.code == 143, ended.err
        assert "stopped by SIGTERM" in message(ended)
    assert 2 <= newest(run_dir) < 15
    killed = Workers(2, run_dir, *TINY, "--sync_bn")
    chief, other = killed.signal_at(newest(run_dir) + 2, 1)
    assert other.code == -signal.SIGKILL and chief.code == 2, chief.err
    assert "worker 0 lost another one of 127.0.0.1:" in message(chief) and "resumes it" in message(chief)
    print(f"the chief ended {killed.seconds:.1f} s after worker 1 was killed")
    assert killed.seconds < 30
    assert newest(run_dir) < 15
    ended_well(Workers(2, run_dir, *TINY, "--sync_bn"))
    assert len(read_results(str(run_dir))["resumed_from_steps"]) == 2
    assert_same_end(undisturbed, run_dir)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_chief_ends_the_others(number, tmp_path):
    """A frozen one too, after `--worker_timeout` of 5 s."""
    workers = Workers(2, tmp_path / "run", *TINY, "--epochs=300", timeout=5)
    chief, other = workers.processes
    try:
        while newest(tmp_path / "run") < 2:
            assert other.poll() is None
            time.sleep(0.05)
        chief.send_signal(number)
        began = time.monotonic()
        _, err = other.communicate(timeout=60)
        print(f"worker 1 ended {time.monotonic() - began:.1f} s after the chief was lost")
    finally:
        for process in workers.processes:
            process.kill()
    assert other.returncode == 2, err
    assert "cmo_tf: worker 1 lost another one" in err


def test_a_finished_run_is_left_alone(undisturbed):
    before = tree(undisturbed)
    ended_well(Workers(2, undisturbed, *TINY, "--sync_bn"))
    assert tree(undisturbed) == before


def test_storage_that_is_not_shared_is_told(tmp_path):
    for ended in Workers(2, tmp_path / "run", *TINY, own={1: [f"--run_dir={tmp_path / 'elsewhere'}"]}).end():
        assert ended.code == 2
        assert "all workers need the same storage" in message(ended)
