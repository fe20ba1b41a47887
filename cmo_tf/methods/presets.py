"""Single-stage methods that are a combination of flags; each goes with any `--mix`."""

import types
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Method(NamedTuple):
    """flags: what `--method` stands for; summary: one line for tables; paper: where it comes from; stages: function
    Config -> list of methods.stage.Stage, or None for one ordinary stage; checked: the official code, with its commit,
    or the reference that it was compared with (tests/golden/README.md says how)."""

    flags: Mapping[str, object]
    summary: str
    paper: str
    stages: Callable | None = None
    checked: str = ""


CMO_CODE = "naver-ai/cmo 10d2d09"


def _method(summary, paper, checked="", **flags):
    return Method(types.MappingProxyType(flags), summary, paper, None, checked)


PLAIN = _method("the flags as they are given", "")
CE = _method("cross-entropy", "", CMO_CODE, loss="ce", reweight="none")
CE_DRW = _method("cross-entropy with deferred re-weighting", "Cao et al., NeurIPS 2019",
                 CMO_CODE, loss="ce", reweight="drw")
LDAM = _method("label-distribution-aware margins", "Cao et al., NeurIPS 2019", CMO_CODE, loss="ldam", reweight="none")
LDAM_DRW = _method("LDAM with deferred re-weighting", "Cao et al., NeurIPS 2019", CMO_CODE, loss="ldam", reweight="drw")
BS = _method("Balanced Softmax", "Ren et al., NeurIPS 2020", CMO_CODE, loss="bs", reweight="none")
LOGIT_ADJUST = _method("logit adjustment in the loss", "Menon et al., ICLR 2021",
                       "google-research/google-research ccc94ce", loss="logit_adjust", reweight="none")
LADE = _method("Balanced Softmax with a regulariser that frees logits from the prior", "Hong et al., CVPR 2021",
               "hyperconnect/LADE 5db5d13", loss="lade", reweight="none")
FOCAL = _method("focal loss on the softmax", "Lin et al., ICCV 2017",
                "kaidic/LDAM-DRW 2536330", loss="focal", reweight="none")
CB_CE = _method("class-balanced cross-entropy", "Cui et al., CVPR 2019",
                "richardaecn/class-balanced-loss 1d78572", loss="ce", reweight="cb")
CB_FOCAL = _method("class-balanced focal loss on sigmoids", "Cui et al., CVPR 2019",
                   "richardaecn/class-balanced-loss 1d78572", loss="focal_sigmoid", reweight="cb")
IB = _method("influence-balanced loss after a phase of cross-entropy", "Park et al., ICCV 2021",
             "pseulki/IB-Loss b29b8b0", loss="ib", reweight="inverse", lr_drops=(0.5, 0.8, 0.9), lr_factor=0.01)
ISDA = _method("cross-entropy of features that vary as those of their class do", "Wang et al., NeurIPS 2019",
               "blackfeather-wang/ISDA-for-Deep-Networks b66a594", loss="isda", reweight="none")
