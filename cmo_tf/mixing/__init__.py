"""Mixers: layers that turn a batch of (image, label) pairs into mixed images and label shares (`--mix`)."""

from cmo_tf.registry import Registry

MIXERS = Registry("mixer", {
    "none": "cmo_tf.mixing.base:Unmixed",
    "cmo": "cmo_tf.mixing.cmo:CMO",
}, flag="mix")
