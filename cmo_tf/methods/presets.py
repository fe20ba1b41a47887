"""Single-stage methods that are a combination of flags; each goes with any `--mix`."""

import types
from collections.abc import Mapping
from typing import NamedTuple


class Method(NamedTuple):
    """flags: what `--method` stands for; summary: one line for tables; paper: where it comes from."""

    flags: Mapping[str, object]
    summary: str
    paper: str


def _method(summary, paper, **flags):
    return Method(types.MappingProxyType(flags), summary, paper)


PLAIN = _method("the flags as they are given", "")
CE = _method("cross-entropy", "", loss="ce", reweight="none")
CE_DRW = _method("cross-entropy with deferred re-weighting", "Cao et al., NeurIPS 2019", loss="ce", reweight="drw")
LDAM = _method("label-distribution-aware margins", "Cao et al., NeurIPS 2019", loss="ldam", reweight="none")
LDAM_DRW = _method("LDAM with deferred re-weighting", "Cao et al., NeurIPS 2019", loss="ldam", reweight="drw")
BS = _method("Balanced Softmax", "Ren et al., NeurIPS 2020", loss="bs", reweight="none")
