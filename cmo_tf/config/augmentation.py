"""Flags: augmentation of the training images."""

import dataclasses

from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class AugmentationFields:
    """Augmentation of the training images."""

    augment: str = flag(None, "augmentation; default the set's own", kind=str, choices=AUGMENTATIONS)
    cutout_size: int = flag(None, "side of Cutout's hole; default 16 (8 in the original on CIFAR-100)", kind=int, low=1)
    cutout_fill: str = flag(None, "Cutout's hole; default black", kind=str, choices=("black", "mean"))
    rand_n: int = flag(None, "operations of RandAugment; default 2", kind=int, low=1)
    rand_m: float = flag(None, "level of RandAugment; default 10", kind=float, low=0, high=10)
    rand_std: float = flag(None, "spread of that level; default 0.5", kind=float, low=0)
    minority_max: int = flag(None, "largest class that the minority augmentations touch; default 100", kind=int, low=1)
