"""Keras callbacks; those that change training are pure functions of the epoch. Nothing heavy is imported here."""

from cmo_tf.registry import Registry

_LAZY = Registry(
    "name",
    {
        "DRW": "cmo_tf.callbacks.drw:DRW",
        "MixWindow": "cmo_tf.callbacks.mix_window:MixWindow",
    },
)


def __getattr__(name):
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
