"""Losses for long-tailed labels. Names are known without importing keras."""

from cmo_tf.registry import Registry

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
    },
    flag="loss",
)

_LAZY = Registry(
    "name",
    {
        "BalancedSoftmax": "cmo_tf.losses.balanced_softmax:BalancedSoftmax",
        "CrossEntropy": "cmo_tf.losses.cross_entropy:CrossEntropy",
        "Focal": "cmo_tf.losses.focal:Focal",
        "FocalSigmoid": "cmo_tf.losses.focal_sigmoid:FocalSigmoid",
        "InfluenceBalanced": "cmo_tf.losses.influence_balanced:InfluenceBalanced",
        "LADE": "cmo_tf.losses.lade:LADE",
        "LDAM": "cmo_tf.losses.ldam:LDAM",
        "LogitAdjusted": "cmo_tf.losses.logit_adjusted:LogitAdjusted",
        "LongTailLoss": "cmo_tf.losses.base:LongTailLoss",
        "Mixed": "cmo_tf.losses.mixed:Mixed",
        "effective_number_weights": "cmo_tf.numbers:effective_number_weights",
        "mixed_terms": "cmo_tf.losses.mixed:mixed_terms",
    },
)


def __getattr__(name):
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
