"""The optimiser of the published recipes and their learning rates. Names are known without importing keras."""

from typing import TYPE_CHECKING

from cmo_tf.core.registry import Registry

_LAZY = Registry("name", {"SGD": "cmo_tf.optim.sgd:SGD"})

if TYPE_CHECKING:
    from cmo_tf.optim.sgd import SGD as SGD


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return _LAZY[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
