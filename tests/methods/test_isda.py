"""Runs of ISDA: its state is in the checkpoint, mixing, and what it does not go with."""

import numpy as np
import pytest
from method_runs import TINY, check_exact_resume, check_state_is_all_in_variables, check_two_steps
from program import program

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
MIXED = ("--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0")


def test_all_state_is_in_variables():
    model, middle, end = check_state_is_all_in_variables("isda", *MIXED)
    covariance, mean, amount = ([name for name in end if name.endswith(part)][0]
                                for part in ("covariance", ":mean", ":amount"))
    assert middle[covariance].shape == (10, 64, 64) and middle[mean].shape == (10, 64)
    assert 0 < middle[amount].sum() <= end[amount].sum() <= 56
    assert np.linalg.eigvalsh(end[covariance]).min() > -1e-4


def test_two_steps_and_evaluation(tmp_path):
    check_two_steps(tmp_path, "isda", "--isda_full_up_to=32")


def test_micro_batches_are_refused(tmp_path):
    ended = program(*TINY, "--method=isda", "--gradient_accumulation=2", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and "--loss=isda compares the rows of a batch" in ended.err


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "isda", *MIXED)
