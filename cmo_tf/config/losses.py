"""Flags: losses and their class weights."""

import dataclasses

from cmo_tf.callbacks import WEIGHTINGS
from cmo_tf.config.flag import flag
from cmo_tf.losses import LOSSES


@dataclasses.dataclass(frozen=True)
class LossFields:
    """Losses and their class weights."""

    loss: str = flag("ce", "loss", choices=LOSSES)
    reweight: str = flag("none", "class weights of the loss", choices=WEIGHTINGS)
    reweight_start: float = flag(None, "first epoch of re-weighting; below 1 a fraction of --epochs; default 0.8 for "
                                 "drw, 0 for the others", kind=float, low=0)
    reweight_beta: float = flag(0.9999, "beta of the effective number", low=0, high=1 - 1e-12)
    ldam_margin: float = flag(0.5, "largest margin of LDAM", above=0)
    ldam_scale: float = flag(30.0, "scale of LDAM's cosines", above=0)
    label_smoothing: float = flag(0.0, "share of the label that cross-entropy spreads over all classes", low=0,
                                  high=1 - 1e-9)
    focal_gamma: float = flag(1.0, "focus of focal and focal_sigmoid", low=0)
    focal_factor: float = flag(1.0, "factor of focal; 10 in the IB and CMO code", above=0)
    la_tau: float = flag(1.0, "weight of the log prior in logit_adjust", low=0)
    lade_alpha: float = flag(0.1, "weight of LADE's regulariser", low=0)
    lade_rho: float = flag(0.01, "weight of the square in LADE's regulariser", low=0)
    ib_alpha: float = flag(1000.0, "factor of the influence-balanced loss", above=0)
    ib_epsilon: float = flag(1e-3, "number added to the influence that the influence-balanced loss divides by", above=0)
    ib_start: float = flag(0.5, "first epoch of the influence-balanced loss, cross-entropy before; below 1 a fraction "
                           "of --epochs", low=0)
    isda_strength: float = flag(0.5, "strength of ISDA at the end of the run; 7.5 for ResNet-50 on large sets", low=0)
    isda_full_up_to: int = flag(128, "features up to which ISDA keeps full covariances; above, diagonals", low=0)
    las_smooth_head: float = flag(0.4, "label-aware smoothing of the largest class (las, mislas)", low=0, high=1)
    las_smooth_tail: float = flag(0.1, "label-aware smoothing of the smallest class (las, mislas)", low=0, high=1)
