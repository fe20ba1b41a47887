"""Mixers: layers that turn a batch of (image, label) pairs into mixed images and label shares (`--mix`)."""

from cmo_tf.core.registry import Registry

MIXERS = Registry("mixer", {
    "none": "cmo_tf.mixing.base:Unmixed",
    "cmo": "cmo_tf.mixing.cmo:CMO",
    "cmo_back": "cmo_tf.mixing.cmo_back:CMOBack",
    "cmo_minor": "cmo_tf.mixing.cmo_minor:CMOMinor",
    "cmo_mixup": "cmo_tf.mixing.cmo_mixup:CMOMixup",
    "cutmix": "cmo_tf.mixing.cutmix:CutMix",
    "mixup": "cmo_tf.mixing.mixup:Mixup",
    "remix": "cmo_tf.mixing.remix:Remix",
}, flag="mix")

# Flags that a mixer comes with unless they are given: mixup and Remix mix every batch of every epoch.
EVERY_BATCH = {"probability": 1.0, "mix_skip_first": 0, "mix_skip_last": 0}
DEFAULTS = {"mixup": EVERY_BATCH, "remix": EVERY_BATCH}
