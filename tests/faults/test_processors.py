"""What docs/reliability.md promises of other processors, threads and kernels: equal to rounding."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.support.one_step import one_step
from tests.support.program import ROOT

ENVIRONMENTS = {
    "one thread without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "1"},
    "kernels of SSE4.1": {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


@pytest.fixture(scope="module")
def here():
    return one_step()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_step_agrees_to_rounding(name, here, tmp_path):
    command = [sys.executable, ROOT / "tests/support/one_step.py", tmp_path / "step.npz"]
    subprocess.run(command, env={**os.environ, **ENVIRONMENTS[name]}, cwd=ROOT, check=True)
    with np.load(tmp_path / "step.npz") as there:
        assert set(there) == set(here)
        for key, array in here.items():
            np.testing.assert_allclose(there[key], array, rtol=0, atol=1e-5 * max(1.0, np.abs(array).max()),
                                       err_msg=key)
