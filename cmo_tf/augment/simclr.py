"""SimCLR's view of a picture, in the two forms of PaCo's and CMO's long recipes."""

from cmo_tf.augment.blur import BoxBlur
from cmo_tf.augment.compose import Chain, sometimes
from cmo_tf.augment.jitter import ColorJitter, Grayscale
from cmo_tf.augment.policies import CropFlip
from cmo_tf.augment.resized_crop import ResizedCrop


def simclr(size=None):
    """CIFAR: crop of area 0.2..1, flip, ColorJitter(0.4, 0.4, 0.4, 0.1) p 0.8, grey p 0.2, blur sigma 0.1..2 p 0.5.

    Source: Chen et al. (ICML 2020), with the numbers of PaCo and CMO; on raw uint8 pixels with Pillow's roundings.
    """
    return Chain(ResizedCrop(size, scale=(0.2, 1.0)), CropFlip(), sometimes(ColorJitter(0.4, 0.4, 0.4, 0.1), 0.8),
                 sometimes(Grayscale(), 0.2), sometimes(BoxBlur(0.1, 2.0), 0.5))


def simclr_large(size=None):
    """Large images: crop of area 0.08..1, ColorJitter(0.4, 0.4, 0.4) always, grey p 0.2, blur p 0.5, flip."""
    return Chain(ResizedCrop(size), ColorJitter(0.4, 0.4, 0.4), sometimes(Grayscale(), 0.2),
                 sometimes(BoxBlur(0.1, 2.0), 0.5), CropFlip())
