"""Flags: optimiser, its schedule and the batches."""

import dataclasses

from cmo_tf.config.flag import flag
from cmo_tf.optim.schedules import SCHEDULES


@dataclasses.dataclass(frozen=True)
class TrainingFields:
    """Optimiser, its schedule and the batches."""

    epochs: int = flag(200, "length of the run", low=1)
    batch_size: int = flag(128, "images of a step, all devices together", low=1)
    lr: float = flag(0.1, "base learning rate", above=0)
    schedule: str = flag("step", "schedule of the learning rate", choices=SCHEDULES)
    lr_drops: tuple = flag((0.8, 0.9), "fractions of --epochs at which the rate drops", kind=tuple, low=0, high=1)
    lr_factor: float = flag(0.01, "factor of each drop of the rate", above=0, high=1)
    warmup_epochs: int = flag(5, "epochs of linear warm-up", low=0)
    warmup_start: float = flag(0.0, "share of --lr that the warm-up climbs from", low=0, high=1)
    momentum: float = flag(0.9, "momentum of SGD", low=0, high=1 - 1e-9)
    nesterov: bool = flag(False, "Nesterov momentum")
    sam_rho: float = flag(0.0, "how far to climb before each gradient, 0.1 to 0.8 on CIFAR (sharpness-aware "
                          "minimisation); 0: plain steps", low=0)
    sam_steps: str = flag(None, "EPOCH:RHO with commas, epochs from which --sam_rho is another", kind=str)
    sam_adaptive: bool = flag(False, "climb each weight by its size (ASAM)")
    l2: float = flag(2e-4, "weight decay, added to the gradient of every weight as PyTorch does", low=0)
    drop_remainder: bool = flag(False, "leave out the short last batch of an epoch")
