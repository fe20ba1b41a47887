"""What second stages share: the flags they replace, and a Stage that trains some layers over a frozen trunk."""

import dataclasses

from cmo_tf.losses import LOSSES
from cmo_tf.methods.stage import Stage


def first(config, later_loss=None) -> Stage:
    """The first stage: ordinary training by the flags; those of a loss that comes later rest in it."""
    return Stage("train", _rest(config, [later_loss] if later_loss else [], config.loss))


def plain_flags(config, loss, epochs, lr, schedule) -> dict:
    """Flags of a second stage: class-aware batches, a loss without mixing or re-weighting, its own short course."""
    return {
        **_rest(config, LOSSES, loss), "loss": loss, "reweight": "none", "mix": "none", "sampler": "class_aware",
        "undersample_cap": 0, "undersample_redraw": False,
        "epochs": config.stage2_epochs or epochs, "lr": config.stage2_lr or lr, "schedule": schedule,
        "warmup_epochs": 0, "sam_rho": 0.0, "sam_steps": None, "sam_adaptive": False,
    }


def _rest(config, losses, kept):
    """Defaults for the flags of some losses but one, which would refuse them."""
    def names(loss):
        kind = LOSSES[loss]
        return {*kind.flags.values(), kind.phase_flag}

    idle = set().union(*map(names, losses)) - names(kept)
    return {field.name: field.default for field in dataclasses.fields(config) if field.name in idle}


@dataclasses.dataclass(frozen=True)
class FrozenTrunk(Stage):
    """Trains layers behind a trunk that stays frozen, with its BatchNorm in training mode unless `--noshift_bn`."""

    def network(self, config, data, previous):
        """The network of the stage, made of the one before."""
        raise NotImplementedError

    def learning(self, config, head) -> dict:
        """Names of the layers that learn, and the factor of each one's rate; `head` is the name of the classifier."""
        raise NotImplementedError

    def classifier(self, build, config, data, previous):
        from cmo_tf.models import two_stage
        learning = self.learning(config, two_stage.head(previous).name)
        return build.classifier(config, data, lambda objective: self.network(config, data, previous),
                                learning=list(learning), shift_bn=config.shift_bn,
                                lr_factors={name: factor for name, factor in learning.items() if factor != 1.0})
