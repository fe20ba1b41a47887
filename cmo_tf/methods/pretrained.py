"""Training on pretrained weights (`--train`): the head on frozen features, all of the network, or one after the other.

Source of the recipe: LIFT (Shi et al., ICML 2024), code at 661ead9: SGD with momentum 0.9 and L2 5e-4, a cosine by
epoch, batches of 128, 10 epochs. Rates: the cosine head is indifferent to them, the linear one is not. Layers of the
trunk learn at `--trunk_lr_factor` times the rate, their BatchNorm as in inference.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cmo_tf.methods.stage import Stage

TRAIN = ("head", "head_then_all", "all")
RECIPE = {"epochs": 10, "batch_size": 128, "schedule": "cosine", "warmup_epochs": 0, "l2": 5e-4, "mix_skip_first": 0,
          "mix_skip_last": 0}
RATES: dict[str, float] = {"cosine": 0.1, "linear": 0.01}
# Methods of several stages that work on frozen features; those that keep the first head need a linear one.
LINEAR_HEAD = ("crt", "lws", "tau_norm", "las")
UNFROZEN = {"unfreeze": None, "trunk_lr_factor": 0.05}  # flags that mean nothing to the head alone, at their defaults


def defaults(given: Mapping[str, object]) -> dict:
    """Flags that `--init_weights` stands for where they are not given: the way to train, and its recipe."""
    if not given.get("init_weights"):
        return {}
    if given.get("train", "head") == "all":
        return {"lr": RATES["linear"], **RECIPE}
    train, staged = given.get("train", "head"), given.get("method") in LINEAR_HEAD
    head = given.get("head") or ("linear" if staged else "cosine")
    flags = {"train": train, "head": head, "lr": RATES["linear" if train == "head_then_all" else head], **RECIPE}
    return flags if staged else {"loss": "logit_adjust", **flags}


def stages(config, own: list[Stage]) -> list[Stage]:
    """The stages of a run whose method has the stages `own`: before `head_then_all` comes the head alone."""
    if config.train != "head_then_all":
        return own
    head = {**UNFROZEN, **RECIPE, "train": "head", "mix": "none", "lr": RATES[config.head or "cosine"]}
    return [Stage("head", head), Unfreezing("all", {"feature_views": 1})]


@dataclass(frozen=True)
class Unfreezing(Stage):
    """Training of the whole network, which goes on with the head of the stage before."""

    def classifier(self, build, config, data, previous):
        return build.classifier(config, data, lambda _: build.joined(config, data, previous))
