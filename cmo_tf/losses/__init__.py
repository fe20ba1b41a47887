"""Losses for long-tailed labels. Names are known without importing keras."""

from typing import TYPE_CHECKING

from cmo_tf.core.registry import Registry

LOSSES = Registry(
    "loss",
    {
        "ce": "cmo_tf.losses.cross_entropy:CrossEntropy",
        "ldam": "cmo_tf.losses.ldam:LDAM",
        "bs": "cmo_tf.losses.balanced_softmax:BalancedSoftmax",
        "logit_adjust": "cmo_tf.losses.logit_adjusted:LogitAdjusted",
        "lade": "cmo_tf.losses.lade:LADE",
        "focal": "cmo_tf.losses.focal:Focal",
        "focal_sigmoid": "cmo_tf.losses.focal_sigmoid:FocalSigmoid",
        "ib": "cmo_tf.losses.influence_balanced:InfluenceBalanced",
        "isda": "cmo_tf.losses.isda:ISDA",
        "las": "cmo_tf.losses.label_aware_smoothing:LabelAwareSmoothing",
        "paco": "cmo_tf.losses.paco:PaCo",
        "ride": "cmo_tf.losses.ride:RIDE",
        "ride_router": "cmo_tf.losses.ride_router:ExpertAssignment",
    },
    flag="loss",
)

_LAZY = Registry(
    "name",
    {
        "BalancedSoftmax": "cmo_tf.losses.balanced_softmax:BalancedSoftmax",
        "CrossEntropy": "cmo_tf.losses.cross_entropy:CrossEntropy",
        "ExpertAssignment": "cmo_tf.losses.ride_router:ExpertAssignment",
        "Focal": "cmo_tf.losses.focal:Focal",
        "FocalSigmoid": "cmo_tf.losses.focal_sigmoid:FocalSigmoid",
        "ISDA": "cmo_tf.losses.isda:ISDA",
        "InfluenceBalanced": "cmo_tf.losses.influence_balanced:InfluenceBalanced",
        "LADE": "cmo_tf.losses.lade:LADE",
        "LDAM": "cmo_tf.losses.ldam:LDAM",
        "LabelAwareSmoothing": "cmo_tf.losses.label_aware_smoothing:LabelAwareSmoothing",
        "LogitAdjusted": "cmo_tf.losses.logit_adjusted:LogitAdjusted",
        "LongTailLoss": "cmo_tf.losses.base:LongTailLoss",
        "Mixed": "cmo_tf.losses.mixed:Mixed",
        "PaCo": "cmo_tf.losses.paco:PaCo",
        "RIDE": "cmo_tf.losses.ride:RIDE",
        "effective_number_weights": "cmo_tf.core.class_counts:effective_number_weights",
        "mixed_terms": "cmo_tf.losses.mixed:mixed_terms",
    },
)

if TYPE_CHECKING:
    from cmo_tf.core.class_counts import effective_number_weights as effective_number_weights
    from cmo_tf.losses.balanced_softmax import BalancedSoftmax as BalancedSoftmax
    from cmo_tf.losses.base import LongTailLoss as LongTailLoss
    from cmo_tf.losses.cross_entropy import CrossEntropy as CrossEntropy
    from cmo_tf.losses.focal import Focal as Focal
    from cmo_tf.losses.focal_sigmoid import FocalSigmoid as FocalSigmoid
    from cmo_tf.losses.influence_balanced import InfluenceBalanced as InfluenceBalanced
    from cmo_tf.losses.isda import ISDA as ISDA
    from cmo_tf.losses.label_aware_smoothing import LabelAwareSmoothing as LabelAwareSmoothing
    from cmo_tf.losses.lade import LADE as LADE
    from cmo_tf.losses.ldam import LDAM as LDAM
    from cmo_tf.losses.logit_adjusted import LogitAdjusted as LogitAdjusted
    from cmo_tf.losses.mixed import Mixed as Mixed
    from cmo_tf.losses.mixed import mixed_terms as mixed_terms
    from cmo_tf.losses.paco import PaCo as PaCo
    from cmo_tf.losses.ride import RIDE as RIDE
    from cmo_tf.losses.ride_router import ExpertAssignment as ExpertAssignment


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
