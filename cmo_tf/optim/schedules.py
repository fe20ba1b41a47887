"""Learning rates as pure functions of the 0-indexed epoch (no keras)."""

import math

from cmo_tf.core.errors import UserError
from cmo_tf.core.registry import Registry

SCHEDULES = Registry(
    "schedule",
    {
        "step": "cmo_tf.optim.schedules:step_schedule",
        "step_inclusive": "cmo_tf.optim.schedules:step_inclusive_schedule",
        "cosine": "cmo_tf.optim.schedules:cosine_schedule",
        "cosine_ahead": "cmo_tf.optim.schedules:cosine_ahead_schedule",
        "cosine_from_peak": "cmo_tf.optim.schedules:cosine_from_peak_schedule",
    },
    flag="schedule",
)


def epoch_at(fraction: float, epochs: int) -> int:
    """The epoch at a fraction of a run, to the nearest (halves up): 0.8 of 200 is 160."""
    return math.floor(fraction * epochs + 0.5)


def start_epoch(start: float, epochs: int) -> int:
    """An epoch given as such, or, below 1, as a fraction of a run of `epochs`."""
    return epoch_at(start, epochs) if start < 1 else int(start)


def step_schedule(epoch, *, base_lr, epochs, warmup_epochs=5, drops=(0.8, 0.9), factor=0.01,
                  warmup_start=0.0) -> float:
    """Linear warm-up, then a constant rate that is multiplied by `factor` at each drop.

    Args:
        epoch: in [0, epochs).
        base_lr: the rate after warm-up.
        epochs: length of the run.
        warmup_epochs: epoch e < warmup_epochs trains at `base_lr * (e + 1) / warmup_epochs`, drops or not.
        drops: fractions of `epochs`, each turned into an epoch by `epoch_at`.
        factor: of each drop; they accumulate.
        warmup_start: share of `base_lr` that the warm-up climbs from; 1/3 in BBN and LADE, where the first epochs
            train at 0.467, 0.6, 0.733, 0.867 and 1 of it.

    The defaults are the CIFAR recipe of LDAM and CMO: of 200 epochs 0.02 .. 0.1 in the first five, 0.1 to epoch 159,
    0.001 to 179, 0.00001 to 199.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return _warmup(epoch, base_lr, warmup_epochs, warmup_start)
    return base_lr * factor ** sum(epoch >= epoch_at(drop, epochs) for drop in drops)


def step_inclusive_schedule(epoch, *, base_lr, epochs, warmup_epochs=10, drops=(0.8025, 0.9025), factor=0.1,
                            warmup_start=0.0) -> float:
    """As `step_schedule`, but the warm-up takes one epoch more on its line: epoch w of w warm-up epochs trains at
    `base_lr * (w + 1) / w`, above the rate that follows.

    The official code of the 400-epoch recipes on CIFAR (PaCo, Cui et al., ICCV 2021; CMO with AutoAugment) tests
    `epoch <= 10`: PaCo trains epoch 10 at 0.055 and the next at 0.05.
    """
    if epoch == warmup_epochs and 0 < epoch < epochs:
        return _warmup(epoch, base_lr, warmup_epochs, warmup_start)
    return step_schedule(epoch, base_lr=base_lr, epochs=epochs, warmup_epochs=warmup_epochs, drops=drops, factor=factor,
                         warmup_start=warmup_start)


def cosine_schedule(epoch, *, base_lr, epochs, warmup_epochs=5, final_lr=0.0, warmup_start=0.0) -> float:
    """Linear warm-up as in `step_schedule`, then half a cosine from `base_lr` towards `final_lr`.

    `final_lr` would be reached at epoch `epochs`, so the last epoch still learns. Without warm-up this is the schedule
    of MiSLAS (Zhong et al., CVPR 2021) stage 1 on ImageNet-LT, `base_lr * (1 + cos(pi * epoch / epochs)) / 2`.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return _warmup(epoch, base_lr, warmup_epochs, warmup_start)
    progress = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    return final_lr + (base_lr - final_lr) * (1.0 + math.cos(math.pi * progress)) / 2.0


def cosine_ahead_schedule(epoch, *, base_lr, epochs, warmup_epochs=0, warmup_start=0.0) -> float:
    """Half a cosine that is a step ahead: the first epoch is decayed already and the last one trains at rate 0, so
    that of the network only the statistics of BatchNorm still move in it.

    `base_lr * (1 + cos(pi * (epoch + 1) / epochs)) / 2`, after linear warm-up as in `step_schedule`. This is the
    schedule of Decoupling (Kang et al., ICLR 2020), whose official code steps it before each epoch.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return _warmup(epoch, base_lr, warmup_epochs, warmup_start)
    progress = (epoch + 1 - warmup_epochs) / (epochs - warmup_epochs)
    return base_lr * (1.0 + math.cos(math.pi * progress)) / 2.0


def cosine_from_peak_schedule(epoch, *, base_lr, epochs, warmup_epochs=10, warmup_start=0.0) -> float:
    """Linear warm-up as in `step_schedule`, then half a cosine that starts in the last epoch of the warm-up.

    With w warm-up epochs `base_lr * (1 + cos(pi * (epoch - w + 1) / (epochs - w + 1))) / 2` from epoch w on: the first
    epoch after the warm-up is decayed already, the last one still learns. The 400-epoch recipe of CMO and PaCo (Cui et
    al., ICCV 2021) on large images, w = 10.
    """
    _check(epoch, epochs, warmup_epochs)
    if epoch < warmup_epochs:
        return _warmup(epoch, base_lr, warmup_epochs, warmup_start)
    peak = max(warmup_epochs - 1, 0)
    return base_lr * (1.0 + math.cos(math.pi * (epoch - peak) / (epochs - peak))) / 2.0


def _warmup(epoch, base_lr, warmup_epochs, start):
    """Rate of an epoch of the warm-up, which climbs from `start * base_lr` and is over with its last epoch."""
    return base_lr * (start * (warmup_epochs - epoch - 1) + epoch + 1) / warmup_epochs


def _check(epoch, epochs, warmup_epochs):
    if not 0 <= epoch < epochs:
        raise UserError(f"epoch {epoch} is not in [0, {epochs})")
    if warmup_epochs < 0:
        raise UserError(f"--warmup_epochs={warmup_epochs}: must be at least 0")
