"""Two real optimisation steps of a Config, in this process: what a test of a flag file needs."""

import dataclasses
import functools

import numpy as np

from cmo_tf import config


@functools.cache
def images(**flags):
    """The data of a Config that has these flags, read once."""
    from cmo_tf.run import data
    return data.load(config.Config(download=False, **flags))


def combination(settings):
    """What decides which code a step runs: every choice and switch of a Config, and the kind of its set. A method that
    has no stages of its own is the flags it stands for."""
    from cmo_tf.datasets import BIG
    from cmo_tf.methods import METHODS
    chosen = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)
              if f.name not in ("dataset", "mode", "data_format", "download")
              and (f.metadata["choices"] or isinstance(getattr(settings, f.name), bool))}
    if not METHODS[settings.method].stages:
        chosen["method"] = "plain"
    return settings.dataset in BIG, *sorted(chosen.items(), key=str)


def two_steps(settings):
    """(losses, largest change of each trained variable) of two steps of the first stage, in its mixing window."""
    from cmo_tf.classifier import build
    from cmo_tf.run import stages
    names = ("dataset", "data_dir", "imbalance_ratio", "augment", "val_fraction", "max_per_class", "image_size")
    found = images(**{name: getattr(settings, name) for name in names})
    leg = stages.legs(settings, len(found.train))[0]
    model = leg.stage.classifier(build, leg.config, found, None)
    model.run_eagerly = True  # tracing a graph for two steps takes longer
    before = [w.numpy() for w in model.trainable_variables]
    stream = leg.stage.stream(build, leg.config, found, leg.timeline, leg.timeline.mix_steps[0])
    losses = model.fit(stream, steps_per_epoch=1, epochs=2, verbose=0).history["loss"]
    moved = [np.abs(w.numpy() - b).max() for w, b in zip(model.trainable_variables, before, strict=True)]
    return losses, moved
