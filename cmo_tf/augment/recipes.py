"""The named augmentations that are put together from several policies: one factory a name of `--augment`.

A factory takes `size`, (height, width) of the result, and by name those options that it has a use for.
"""

from cmo_tf.augment.autoaugment import AutoAugment
from cmo_tf.augment.compose import Chain, Choice
from cmo_tf.augment.cutout import Cutout
from cmo_tf.augment.jitter import ColorJitter
from cmo_tf.augment.minority import minority_blur, minority_jitter
from cmo_tf.augment.policies import CropFlip, pad4_flip
from cmo_tf.augment.randaugment import RandAugment
from cmo_tf.augment.resized_crop import ResizedCrop
from cmo_tf.augment.rotation import RandomRotation
from cmo_tf.augment.simclr import simclr, simclr_large


def _base(name, size):
    from cmo_tf.augment import AUGMENTATIONS
    return AUGMENTATIONS[name](size=size)


def cutout(size=None, base="pad4_flip", cutout_size=16, cutout_fill="black", mean=None):
    """The set's own augmentation, then Cutout."""
    return Chain(_base(base, size), Cutout(cutout_size, cutout_fill, mean))


def pad4_flip_cutout(size=None, cutout_size=16, cutout_fill="black", mean=None):
    """The CIFAR recipe, then Cutout."""
    return cutout(size, "pad4_flip", cutout_size, cutout_fill, mean)


def pad4_flip_rotate15(size=None):
    """The CIFAR recipe of RIDE's code: pad 4, crop, flip, a turn of up to 15 degrees."""
    return Chain(pad4_flip(size), RandomRotation(15))


def autoaug(size=None):
    """The CIFAR recipe, then AutoAugment."""
    return Chain(pad4_flip(size), AutoAugment())


def autoaug_cutout(size=None, cutout_size=16, cutout_fill="black", mean=None):
    """Pipeline A of the 400-epoch CIFAR recipe: pad 4, crop, flip, AutoAugment, a black 16-pixel hole."""
    return Chain(pad4_flip(size), AutoAugment(), Cutout(cutout_size, cutout_fill, mean))


def long(size=None, cutout_size=16, cutout_fill="black", mean=None):
    """The 400-epoch CIFAR recipe of CMO: each image takes `autoaug_cutout` or `simclr`, half and half."""
    return Choice([autoaug_cutout(size, cutout_size, cutout_fill, mean), simclr(size)])


def crop_jitter(size=None):
    """The 100-epoch ImageNet-LT recipe: crop of area 0.08..1, flip, ColorJitter(0.4, 0.4, 0.4)."""
    return Chain(ResizedCrop(size), CropFlip(), ColorJitter(0.4, 0.4, 0.4))


def resized_crop_flip(size=None):
    """The iNaturalist recipe of the official code: crop of area 0.08..1, flip."""
    return Chain(ResizedCrop(size), CropFlip())


def rand_timm(size=None, rand_n=2, rand_m=10, rand_std=0.5):
    """Pipeline A of the 400-epoch recipe on large images: `crop_jitter`, then RandAugment(2, 10)."""
    return Chain(crop_jitter(size), RandAugment(rand_n, rand_m, rand_std))


def long_large(size=None, rand_n=2, rand_m=10, rand_std=0.5):
    """The 400-epoch recipe of CMO on large images: each image takes `rand_timm` or `simclr_large`, half and half."""
    return Choice([rand_timm(size, rand_n, rand_m, rand_std), simclr_large(size)])


def jitter_minority(size=None, base="pad4_flip", class_counts=None, minority_max=100):
    """The set's own augmentation, then colour jitter on minority classes."""
    return Chain(_base(base, size), minority_jitter(class_counts, minority_max))


def blur_minority(size=None, base="pad4_flip", class_counts=None, minority_max=100):
    """The set's own augmentation, then Gaussian blur on minority classes."""
    return Chain(_base(base, size), minority_blur(class_counts, minority_max))
