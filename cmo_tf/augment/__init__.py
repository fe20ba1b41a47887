"""Augmentation policies (`--augment`). Names are known without importing tensorflow.

A policy has `draw(seed, batch_size) -> {name: tensor (B, ...)}`, stateless and for the whole global batch, and
`apply(images, parameters) -> images` for the rows that a worker holds; with `needs_labels = True` apply also takes
`labels=` (b,). It works on raw pixels, before mixing and normalisation. One with `reads = True` also has
`read(encoded, parameters)`, which makes its images from encoded pictures of any size.
"""

import inspect

from cmo_tf.core.errors import UserError
from cmo_tf.core.registry import Registry

_POLICIES, _RECIPES = "cmo_tf.augment.policies", "cmo_tf.augment.recipes"
AUGMENTATIONS = Registry("augmentation", {
    "none": f"{_POLICIES}:CenterCrop",
    **{name: f"{_POLICIES}:{name}" for name in ("pad1", "pad4", "pad4_flip", "crop_flip")},
    **{name: f"{_RECIPES}:{name}" for name in (
        "cutout", "pad4_flip_cutout", "pad4_flip_rotate15", "autoaug", "autoaug_cutout", "simclr", "long",
        "resized_crop_flip", "crop_jitter", "rand_timm", "simclr_large", "long_large", "jitter_minority",
        "blur_minority")},
}, flag="augment")


def create(name, size=None, *, base=None, class_counts=None, mean=None, **options):
    """The policy of a registered name.

    Args:
        name: of AUGMENTATIONS.
        size: (height, width) of the result.
        base: name of the set's own augmentation, for those that add to it.
        class_counts: (C,) training images a class. mean: C floats in units of [0, 1]. Both for those that need them.
        options: flags that only some augmentations have (`cutout_size`, `minority_max`, ...); None: not given.

    Raises:
        UserError: an unknown name, or an option that this augmentation has no use for.
    """
    factory = AUGMENTATIONS[name]
    known = inspect.signature(factory).parameters
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in known:
            raise UserError(f"--{key} means nothing to --augment={name}; leave one of them out")
    context = {"base": base, "class_counts": class_counts, "mean": mean}
    return factory(size=size, **given, **{k: v for k, v in context.items() if k in known and v is not None})


def resolve(augment, size=None, class_counts=None):
    """A policy (with `draw` and `apply`), or None, from what a user may give.

    Args:
        augment: None, a registered name, a policy, or a function `f(images, seeds) -> images` with stateless seeds
            int32 (B,2), one a row.
        size: (height, width) of the result, for names.
        class_counts: (C,) training images a class, for names that ask for them.
    """
    if augment is None:
        return None
    if isinstance(augment, str):
        return create(augment, size, class_counts=class_counts)
    if hasattr(augment, "draw"):
        return augment
    from cmo_tf.augment.policies import PerRow
    return PerRow(augment)
