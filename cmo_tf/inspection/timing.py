"""How long training takes here: some steps of the suggested network on random pixels, measured."""

import time
from dataclasses import dataclass

import keras
import numpy as np

from cmo_tf.classifier import build
from cmo_tf.config import Config
from cmo_tf.datasets import Split
from cmo_tf.datasets.source import stored_size
from cmo_tf.long_tail import shot_groups
from cmo_tf.pipeline import steps_per_epoch
from cmo_tf.run.data import RunData
from cmo_tf.run.repeatable import make_repeatable
from cmo_tf.run.timeline import Timeline

WARM = 3  # steps before the clock starts; the first compiles


@dataclass(frozen=True)
class Timing:
    """Seconds of a step and of the first one, and how many steps were measured."""

    step: float
    first: float
    steps: int


class _Clock(keras.callbacks.Callback):
    """Times of the ends of steps; ends the training when enough have been seen."""

    def __init__(self, seconds, least):
        super().__init__()
        self.seconds, self.least, self.ends = seconds, least, []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.monotonic())
        if len(self.ends) > WARM + self.least and self.ends[-1] - self.ends[WARM - 1] > self.seconds:
            self.model.stop_training = True


def measure(config: Config, counts, image_shape, seconds: float = 4.0, least: int = 5) -> Timing:
    """Trains a network of `config` on random pixels for some seconds: nothing is kept, no picture is read."""
    make_repeatable(config)
    data = _random(config, np.maximum(counts, 1), image_shape)
    began = time.monotonic()
    model = build.classifier(config, data)
    steps = steps_per_epoch(len(data.train), config.batch_size)
    timeline = Timeline(config, steps)
    clock = _Clock(seconds, least)
    # From the first epoch that mixes, so that mixing is part of what is measured.
    stream = build.stream(config, data, timeline, timeline.mix_epochs[0] * steps)
    model.fit(stream, steps_per_epoch=400, callbacks=[clock], verbose=0)
    timed = clock.ends[-1] - clock.ends[WARM - 1]
    return Timing(timed / (len(clock.ends) - WARM), clock.ends[0] - began, len(clock.ends) - WARM)


def _random(config, counts, image_shape):
    """A RunData of the same counts whose images repeat a few random ones."""
    height, width, channels = image_shape
    augment = "pad4_flip" if config.image_size is None else "crop_flip"
    grown = (stored_size(height), stored_size(width)) if augment == "crop_flip" else (height, width)
    labels = np.repeat(np.arange(len(counts)), counts)
    few = np.random.RandomState(0).randint(0, 256, (64, *grown, channels), dtype=np.uint8)
    images = few[np.arange(min(len(labels), 2000)) % 64]
    labels = labels[np.linspace(0, len(labels) - 1, len(images)).astype(int)]
    split = Split(images, labels)
    counts = np.bincount(labels, minlength=len(counts))
    return RunData(split, None, split, tuple(map(str, range(len(counts)))), image_shape, (0.5,) * channels,
                   (0.25,) * channels, augment, augment, np.maximum(counts, 1), shot_groups(counts), "", None)


def total(timing: Timing, config: Config, images: int, test_images: int, reading: float = 0.0) -> float:
    """Seconds of a whole run: steps, evaluations at a third of a step an image, compiling, reading all pictures."""
    steps = steps_per_epoch(images, config.batch_size) * config.epochs
    evaluations = config.epochs / config.eval_every
    return reading + timing.first + steps * timing.step + \
        evaluations * test_images / config.batch_size * timing.step / 3
