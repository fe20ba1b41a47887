"""Makes `keras.models.load_model` find our classes after `import cmo_tf` alone, without importing keras or them.

Keras looks classes up in a dict of registered names, filled by the decorator when a module of ours is imported.
Importing those modules as soon as keras has been imported would run into itself when one of them is what imports
keras. So what is put into the dict at that moment are stand-ins: objects whose `from_config` imports the class. Its
decorator then overwrites the stand-in.
"""

import importlib
import sys

PACKAGE = "cmo_tf"

# Every class of ours that is registered with keras; a test compares this table with the decorators.
CLASSES = {
    "BalancedSoftmax": "cmo_tf.losses.balanced_softmax",
    "CMO": "cmo_tf.mixing.cmo",
    "CMOBack": "cmo_tf.mixing.cmo_back",
    "CMOMinor": "cmo_tf.mixing.cmo_minor",
    "CMOMixup": "cmo_tf.mixing.cmo_mixup",
    "CausalNorm": "cmo_tf.models.causal",
    "ClassScale": "cmo_tf.models.two_stage",
    "CrossEntropy": "cmo_tf.losses.cross_entropy",
    "CutMix": "cmo_tf.mixing.cutmix",
    "ExpertAssignment": "cmo_tf.losses.ride_router",
    "Focal": "cmo_tf.losses.focal",
    "FocalSigmoid": "cmo_tf.losses.focal_sigmoid",
    "GroupedConv2D": "cmo_tf.models.grouped",
    "ISDA": "cmo_tf.losses.isda",
    "InfluenceBalanced": "cmo_tf.losses.influence_balanced",
    "LADE": "cmo_tf.losses.lade",
    "LDAM": "cmo_tf.losses.ldam",
    "LabelAwareSmoothing": "cmo_tf.losses.label_aware_smoothing",
    "LogitAdjusted": "cmo_tf.losses.logit_adjusted",
    "LossScale": "cmo_tf.classifier.loss_scale",
    "LongTailClassifier": "cmo_tf.classifier.classifier",
    "Mixed": "cmo_tf.losses.mixed",
    "Mixup": "cmo_tf.mixing.mixup",
    "NormedLinear": "cmo_tf.models.heads",
    "PaCo": "cmo_tf.losses.paco",
    "RIDE": "cmo_tf.losses.ride",
    "Remix": "cmo_tf.mixing.remix",
    "SGD": "cmo_tf.optim.sgd",
    "Unmixed": "cmo_tf.mixing.base",
}


def install() -> None:
    """Registers the stand-ins now if keras is imported, otherwise as soon as it is. Calling it again is harmless."""
    if "keras" in sys.modules:
        # An import by another thread that is under way is waited for.
        _register(importlib.import_module("keras"))
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


class _StandIn:
    """What keras finds under a registered name until the class itself has been imported."""

    def __init__(self, module: str, name: str):
        self.module = module
        self.__name__ = name

    def from_config(self, config):
        return getattr(importlib.import_module(self.module), self.__name__).from_config(config)


class _KerasFinder:
    """Finds keras the ordinary way and has `_register` run right after its import."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            _after_exec(spec.loader)
        return spec


def _after_exec(loader) -> None:
    execute = loader.exec_module

    def exec_module(module):
        execute(module)
        _register(module)

    # The loader object belongs to this one spec, so nothing else sees the change.
    loader.exec_module = exec_module


def _register(keras) -> None:
    registered = keras.saving.get_custom_objects()
    for name, module in CLASSES.items():
        registered.setdefault(f"{PACKAGE}>{name}", _StandIn(module, name))
