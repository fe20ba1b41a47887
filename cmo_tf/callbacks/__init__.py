"""Keras callbacks; those that change training are pure functions of the epoch. Nothing heavy is imported here."""

from typing import TYPE_CHECKING

from cmo_tf.core.registry import Registry

WEIGHTINGS = Registry("re-weighting", {
    "none": "cmo_tf.callbacks.weightings:NONE",
    "drw": "cmo_tf.callbacks.weightings:DRW",
    "cb": "cmo_tf.callbacks.weightings:CB",
    "inverse": "cmo_tf.callbacks.weightings:INVERSE",
    "sqrt": "cmo_tf.callbacks.weightings:SQRT",
}, flag="reweight")

_LAZY = Registry(
    "name",
    {
        "DRW": "cmo_tf.callbacks.drw:DRW",
        "LossPhase": "cmo_tf.callbacks.loss_phase:LossPhase",
        "LossRamp": "cmo_tf.callbacks.loss_ramp:LossRamp",
        "MixWindow": "cmo_tf.callbacks.mix_window:MixWindow",
        "Reweight": "cmo_tf.callbacks.reweight:Reweight",
    },
)

if TYPE_CHECKING:
    from cmo_tf.callbacks.drw import DRW as DRW
    from cmo_tf.callbacks.loss_phase import LossPhase as LossPhase
    from cmo_tf.callbacks.loss_ramp import LossRamp as LossRamp
    from cmo_tf.callbacks.mix_window import MixWindow as MixWindow
    from cmo_tf.callbacks.reweight import Reweight as Reweight


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
