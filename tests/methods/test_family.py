"""CMO's relatives inside runs: stopped inside an epoch and resumed they end with the same bits, with the losses they go
with."""

import pytest
from method_runs import check_exact_resume

WINDOW = ["--mix_skip_first=0", "--mix_skip_last=0", "--model=stem_alone"]
SAM = ["--sam_rho=0.2", "--sam_steps=1:0.8"]
RUNS = {
    "sam": ["ce", *SAM],
    "sam_bs": ["bs", *SAM, "--sam_adaptive"],
    "sam_ldam_drw_cmo": ["ldam_drw", *SAM, "--mix=cmo", "--gradient_accumulation=2"],
}


@pytest.mark.parametrize("name", RUNS)
def test_resumes_exactly(name, tmp_path, no_plots, small_networks):
    method, *flags = RUNS[name]
    check_exact_resume(tmp_path, method, *WINDOW, *flags)
