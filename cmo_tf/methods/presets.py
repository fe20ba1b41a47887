"""Single-stage methods that are a combination of flags; each goes with any `--mix`."""

import types
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Method(NamedTuple):
    """flags: what `--method` stands for; summary: one line for tables; paper: where it comes from; stages: function
    Config -> list of methods.stage.Stage, or None for one ordinary stage."""

    flags: Mapping[str, object]
    summary: str
    paper: str
    stages: Callable | None = None


def _method(summary, paper, **flags):
    return Method(types.MappingProxyType(flags), summary, paper)


PLAIN = _method("the flags as they are given", "")
CE = _method("cross-entropy", "", loss="ce", reweight="none")
CE_DRW = _method("cross-entropy with deferred re-weighting", "Cao et al., NeurIPS 2019", loss="ce", reweight="drw")
LDAM = _method("label-distribution-aware margins", "Cao et al., NeurIPS 2019", loss="ldam", reweight="none")
LDAM_DRW = _method("LDAM with deferred re-weighting", "Cao et al., NeurIPS 2019", loss="ldam", reweight="drw")
BS = _method("Balanced Softmax", "Ren et al., NeurIPS 2020", loss="bs", reweight="none")
LOGIT_ADJUST = _method("logit adjustment in the loss", "Menon et al., ICLR 2021", loss="logit_adjust", reweight="none")
LADE = _method("Balanced Softmax with a regulariser that frees logits from the prior", "Hong et al., CVPR 2021",
               loss="lade", reweight="none")
FOCAL = _method("focal loss on the softmax", "Lin et al., ICCV 2017", loss="focal", reweight="none")
CB_CE = _method("class-balanced cross-entropy", "Cui et al., CVPR 2019", loss="ce", reweight="cb")
CB_FOCAL = _method("class-balanced focal loss on sigmoids", "Cui et al., CVPR 2019", loss="focal_sigmoid",
                   reweight="cb")
IB = _method("influence-balanced loss after a phase of cross-entropy", "Park et al., ICCV 2021", loss="ib",
             reweight="inverse", lr_drops=(0.5, 0.8, 0.9), lr_factor=0.01)
