"""Workers that were started with unequal flags. How the difference is found: tests/distribution/test_workers.py."""

import pytest

from tests.support.worker_runs import TINY, Workers, message

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("number, own, told", [
    (2, {1: ["--lr=0.5", "--seed=3"]}, "worker 1 has another flags than the chief: --lr=0.5 --seed=3 in place of "
                                       "--lr=0.0001 --seed=0; start all workers alike"),
    (2, {0: ["--on_nan=rollback"]}, "worker 1 has another flags than the chief: --on_nan=stop in place of "
                                    "--on_nan=rollback; start all workers alike"),
    (3, {2: ["--cutout_size=4"]}, "worker 2 has another flags than the chief: --cutout_size=4 in place of nothing"),
], ids=["worker", "chief", "one of three"])
def test_unequal_flags_are_refused_on_all_workers(number, own, told, tmp_path):
    run_dir = tmp_path / "run"
    for ended in Workers(number, run_dir, *TINY, own=own).end():
        assert ended.code == 2 and ended.out == ""
        assert told in message(ended)
    assert not run_dir.exists()
