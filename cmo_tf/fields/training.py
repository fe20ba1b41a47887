"""Flags: augmentation, recipe, evaluation, checkpoints and devices."""

import dataclasses

from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.fields.flag import flag
from cmo_tf.schedules import SCHEDULES


@dataclasses.dataclass(frozen=True)
class TrainingFields:
    """Augmentation, recipe, evaluation, checkpoints and devices."""

    test_prior: str = flag("none", "class distribution that logits are moved to at evaluation: none, uniform (post-hoc "
                           "logit adjustment), train or file:PATH, one number a class")
    test_tau: float = flag(1.0, "weight of the training prior that --test_prior takes out", low=0)
    calibrate: str = flag("none", "after training, divide logits by a temperature that the validation images choose, "
                          "so that confidences can be believed", choices=("none", "temperature"))
    augment: str = flag(None, "augmentation; default the set's own", kind=str, choices=AUGMENTATIONS)
    cutout_size: int = flag(None, "side of Cutout's hole; default 16 (8 in the original on CIFAR-100)", kind=int, low=1)
    cutout_fill: str = flag(None, "Cutout's hole; default black", kind=str, choices=("black", "mean"))
    minority_max: int = flag(None, "largest class that the minority augmentations touch; default 100", kind=int, low=1)
    rand_n: int = flag(None, "operations of RandAugment; default 2", kind=int, low=1)
    rand_m: float = flag(None, "level of RandAugment; default 10", kind=float, low=0, high=10)
    rand_std: float = flag(None, "spread of that level; default 0.5", kind=float, low=0)
    epochs: int = flag(200, "length of the run", low=1)
    max_steps: int = flag(None, "stop after this many steps, with a report", kind=int, low=1)
    batch_size: int = flag(128, "global batch", low=1)
    drop_remainder: bool = flag(False, "leave out the short last batch of an epoch")
    lr: float = flag(0.1, "base learning rate", above=0)
    schedule: str = flag("step", "of the learning rate", choices=SCHEDULES)
    lr_drops: tuple = flag((0.8, 0.9), "fractions of --epochs at which the rate drops", kind=tuple, low=0, high=1)
    lr_factor: float = flag(0.01, "of each drop", above=0, high=1)
    warmup_epochs: int = flag(5, "of linear warm-up", low=0)
    warmup_start: float = flag(0.0, "share of --lr that the warm-up climbs from", low=0, high=1)
    momentum: float = flag(0.9, "of SGD", low=0, high=1 - 1e-9)
    nesterov: bool = flag(False, "Nesterov momentum")
    l2: float = flag(2e-4, "added to the gradient of every weight, as PyTorch's weight_decay", low=0)
    seed: int = flag(0, "of the run: initial weights, order, draws", low=0, high=2**31 - 1)
    eval_every: int = flag(1, "epochs between evaluations (the last one is always evaluated)", low=1)
    eval_batch_size: int = flag(500, "images evaluated at once", low=1)
    early_stop: int = flag(0, "stop after this many epochs without a better mean accuracy over classes on the "
                           "validation images; 0: never", low=0)
    keep: str = flag("last", "epoch whose weights model.keras and the results are of, the last or the best on the "
                     "validation images", choices=("last", "best"))
    checkpoint_every: int = flag(1, "epochs between checkpoints", low=1)
    checkpoint_every_steps: int = flag(0, "steps between checkpoints inside an epoch; 0: none", low=0)
    on_nan: str = flag("stop", "a loss or weights that are no longer finite end the run, or take it back, once, to its "
                       "last checkpoint and on from there at a lower rate", choices=("stop", "rollback"))
    nan_rate_factor: float = flag(0.1, "of all learning rates after --on_nan=rollback went back", above=0,
                                  high=1 - 1e-9)
    precision: str = flag("float32", "of the network's arithmetic; losses stay in float32",
                          choices=("float32", "bfloat16", "float16"))
    jit_compile: bool = flag(False, "compile the training step with XLA, on one device and with --drop_remainder")
    gradient_accumulation: int = flag(1, "micro-batches that a step works through one after another, for batches "
                                      "larger than the memory; BatchNorm sees a micro-batch", low=1)
    strategy: str = flag("none", "distribution: all devices of this machine, or of several",
                         choices=("none", "mirrored", "multiworker"))
    num_devices: int = flag(0, "devices of --strategy=mirrored; 0: all", low=0)
    worker_hosts: str = flag(None, "host:port of each worker of --strategy=multiworker, the chief first, with commas; "
                             "default by TF_CONFIG", kind=str, replay=False)
    worker_index: int = flag(None, "place of this worker in --worker_hosts, from 0", kind=int, low=0, replay=False)
    worker_timeout: float = flag(60.0, "seconds after which a silent worker counts as lost; all start within ten times "
                                 "that", low=1, replay=False)
    sync_bn: bool = flag(False, "statistics of BatchNorm over all replicas; default of each for itself, as published")
    deterministic: bool = flag(None, "bit-identical repeats; default on for CPU, off for GPU", kind=bool)
