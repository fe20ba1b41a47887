"""The balanced second batch that meta-learning methods look at, and what these methods do not go with.

`--meta_source=train`: class-aware draws of the training split, one image of each class in turn (BALMS). Nothing is seen
that other methods do not see. `--meta_source=held_out`: --meta_per_class images of each class are taken out before the
long tail is cut, as the official code of Meta-Weight-Net and MetaSAug does; n_max is lower by as many, and rare classes
have more images in all than they have for other methods. Each batch is a fresh draw without replacement.

Meta images are never mixed; they are augmented as the training images are.
"""

import dataclasses

from cmo_tf.core.errors import UserError
from cmo_tf.methods.stage import Stage
from cmo_tf.pipeline import steps_per_epoch


class MetaStage(Stage):
    """A stage whose steps look at a meta batch beside the training batch."""

    def stream(self, build, config, data, timeline, start_step):
        """The training stream with `meta_image` and `meta_label` in each batch."""
        return with_meta(build, config, data, timeline, super().stream(build, config, data, timeline, start_step),
                         start_step)

    def finish(self, build, config, data, model):
        """Names the number of meta images."""
        return {"meta_images": images(config, data)}


def check(config) -> None:
    """A UserError for what steps that look through networks have not been tested with."""
    plain = {"precision": "float32", "strategy": "none", "gradient_accumulation": 1, "jit_compile": False,
             "train": "all", "unfreeze": None, "data_service": None}
    if config.meta_source == "held_out":
        plain["cache"] = "none"
    for name, value in plain.items():
        if getattr(config, name) != value:
            raise UserError(f"--{name}={getattr(config, name)}: --method={config.method} looks through networks, in "
                            "float32 on one device; leave it out")


def images(config, data) -> int:
    """Number of images that meta batches are drawn from."""
    return len(data.train if data.meta is None else data.meta)


def with_meta(build, config, data, timeline, stream, start_step):
    """The stream with `meta_image` (M, H, W, C) and `meta_label` (M,) in each batch; M is --meta_batch, or all."""
    import tensorflow as tf
    number = images(config, data)
    size = min(config.meta_batch, number)
    # No run has a negative seed: these draws are no other run's.
    options = dict(seed=-1 - config.seed, batch_size=size, probability=0.0, canvas="p", partner="q", plan="box",
                   unmixed="canvas", q_source="index", drop_remainder=True, sampler_options=None)
    if data.meta is None:
        meta = build.stream(config, data, timeline, start_step, sampler="class_turns", **options)
    else:  # the first batch of each of its epochs
        every = steps_per_epoch(number, size, drop_remainder=True)
        meta = build.stream(config, dataclasses.replace(data, train=data.meta), timeline, start_step * every,
                            sampler="instance", turn=(0, every), **options)
    batches = tf.data.Dataset.zip(stream, meta)
    return batches.map(lambda batch, other: {**batch, "meta_image": other["image"], "meta_label": other["label"]})
