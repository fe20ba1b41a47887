"""cmo_tf: long-tailed image classification with CMO (CVPR 2022) and its rivals, in Keras 3 and TensorFlow.

Importing it loads neither keras nor tensorflow; the names below do when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from cmo_tf.core import serialization
from cmo_tf.core.registry import Registry

__version__ = "0.1.0"

_PUBLIC = Registry("name", {
    "CMO": "cmo_tf.mixing.cmo:CMO",
    "LongTailClassifier": "cmo_tf.classifier.classifier:LongTailClassifier",
    "UserError": "cmo_tf.core.errors:UserError",
})
_MODULES = ("augment", "callbacks", "classifier", "datasets", "evaluation", "long_tail", "losses", "methods", "mixing",
            "models", "optim", "pipeline", "report", "sampling")
__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from cmo_tf.classifier.classifier import LongTailClassifier as LongTailClassifier
    from cmo_tf.core.errors import UserError as UserError
    from cmo_tf.mixing.cmo import CMO as CMO

serialization.install()


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return _PUBLIC[name]
    if name in _MODULES:
        return importlib.import_module(f"cmo_tf.{name}")
    raise AttributeError(f"module 'cmo_tf' has no attribute {name!r}")
