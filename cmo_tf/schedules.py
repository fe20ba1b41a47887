"""Learning rates as pure functions of the 0-indexed epoch (no keras)."""

import math

from cmo_tf.errors import UserError
from cmo_tf.registry import Registry

SCHEDULES = Registry(
    "schedule",
    {"step": "cmo_tf.schedules:step_schedule", "cosine": "cmo_tf.schedules:cosine_schedule"},
    flag="schedule",
)


def epoch_at(fraction: float, epochs: int) -> int:
    """The epoch at a fraction of a run, to the nearest (halves up): 0.8 of 200 is 160."""
    return math.floor(fraction * epochs + 0.5)


def step_schedule(epoch, *, base_lr, epochs, warmup_epochs=5, drops=(0.8, 0.9), factor=0.01) -> float:
    """Linear warm-up, then a constant rate that is multiplied by `factor` at each drop.

    Args:
        epoch: in [0, epochs).
        base_lr: the rate after warm-up.
        epochs: length of the run.
        warmup_epochs: epoch e < warmup_epochs trains at `base_lr * (e + 1) / warmup_epochs`, drops or not.
        drops: fractions of `epochs`, each turned into an epoch by `epoch_at`.
        factor: of each drop; they accumulate.

    The defaults are the CIFAR recipe of LDAM and CMO: of 200 epochs 0.02 .. 0.1 in the first five, 0.1 to epoch 159,
    0.001 to 179, 0.00001 to 199.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return base_lr * (epoch + 1) / warmup_epochs
    return base_lr * factor ** sum(epoch >= epoch_at(drop, epochs) for drop in drops)


def cosine_schedule(epoch, *, base_lr, epochs, warmup_epochs=5, final_lr=0.0) -> float:
    """Linear warm-up as in `step_schedule`, then half a cosine from `base_lr` towards `final_lr`.

    `final_lr` would be reached at epoch `epochs`, so the last epoch still learns. Without warm-up this is the schedule
    of MiSLAS (Zhong et al., CVPR 2021) stage 1 on ImageNet-LT, `base_lr * (1 + cos(pi * epoch / epochs)) / 2`.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return base_lr * (epoch + 1) / warmup_epochs
    progress = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    return final_lr + (base_lr - final_lr) * (1.0 + math.cos(math.pi * progress)) / 2.0


def _check(epoch, epochs, warmup_epochs):
    if not 0 <= epoch < epochs:
        raise UserError(f"epoch {epoch} is not in [0, {epochs})")
    if warmup_epochs < 0:
        raise UserError(f"--warmup_epochs={warmup_epochs}: must be at least 0")
