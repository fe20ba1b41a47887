"""Augmentation policies (`--augment`). Names are known without importing tensorflow."""

from cmo_tf.registry import Registry

AUGMENTATIONS = Registry("augmentation", {
    "none": "cmo_tf.augment.policies:CenterCrop",
    "pad1": "cmo_tf.augment.policies:pad1",
    "pad4": "cmo_tf.augment.policies:pad4",
    "pad4_flip": "cmo_tf.augment.policies:pad4_flip",
    "crop_flip": "cmo_tf.augment.policies:crop_flip",
}, flag="augment")


def resolve(augment, size=None):
    """A policy (with `draw` and `apply`), or None, from what a user may give.

    Args:
        augment: None, a registered name, a policy, or a function `f(images, seeds) -> images` with stateless seeds
            int32 (B,2), one a row.
        size: (height, width) of the result, for names.
    """
    if augment is None:
        return None
    if isinstance(augment, str):
        return AUGMENTATIONS[augment](size=size)
    if hasattr(augment, "draw"):
        return augment
    from cmo_tf.augment.policies import PerRow
    return PerRow(augment)
