"""The pretrained start, which is suggested first for colour photographs, and the time that it takes here."""

import time

import keras
import numpy as np
import tensorflow as tf

from cmo_tf import models
from cmo_tf.core.errors import UserError
from cmo_tf.inspection import suggest
from cmo_tf.models.weights.pretrained import FILES, IMAGENET, path_of

MODEL = min(FILES)
SIDE = 128  # above it features of thousands of pictures take more than minutes on two cores
# Flags that choose something else.
OTHERS = {"model", "init_weights", "init_from", "method", "mix", "train", "loss"}
OVERHEAD = 30  # seconds of start, network and report
BATCH, BATCHES = 64, 2


def installed() -> bool:
    """Whether the weights are there."""
    try:
        return bool(path_of(MODEL))
    except UserError:
        return False


def fits(facts, wanted) -> bool:
    """Whether to suggest it: pictures of 64 pixels and more, the weights installed, nothing else asked for."""
    return not facts.fixed and facts.side >= 64 and not OTHERS & set(wanted) and installed()


def flags(facts, side: int) -> list[tuple[str, object, str]]:
    """(flag, value, reason) of all suggestions."""
    size, size_reason = suggest.batch(facts)
    return [
        ("dataset", facts.dataset, "the set that was looked at"),
        *((name, value, "as given") for name, value in facts.given.items()),
        ("image_size", side, f"the shorter side of half the pictures is above {facts.side} pixels; up to {SIDE} it is "
         "quick"),
        ("model", MODEL, "a small network that was trained on ImageNet"),
        ("init_weights", IMAGENET, f"{facts.images:,} pictures train no network from nothing: its features are worked "
         "out once, and a classifier learns on them, with logits adjusted by the class counts"),
        ("batch_size", size, size_reason),
        *suggest.groups(facts), *suggest.bad_pictures(facts),
    ]


def side_of(facts, wanted) -> int:
    """The image size: that asked for, or the largest of the usual ones up to SIDE that pictures have."""
    return wanted.get("image_size") or max(side for side in suggest.SIDES if side <= min(facts.side, SIDE))


def pictures_per_second(side: int) -> float:
    """How fast features are worked out here, measured on random pixels."""
    network = models.create(MODEL, 0, (side, side, 3), seed=0)
    compute = tf.function(lambda images: network(images, training=False))
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, (BATCH, side, side, 3)), tf.float32)
    keras.ops.convert_to_numpy(compute(images))
    began = time.monotonic()
    for _ in range(BATCHES):
        keras.ops.convert_to_numpy(compute(images))
    return BATCHES * BATCH / (time.monotonic() - began)


def notes(rate: float, duration: str) -> list[str]:
    """What is said beside the flags."""
    return [f"Features take most of the time: {rate:.0f} pictures a second were measured here; the whole run about "
            f"{duration}. It is an estimate: other programs on the machine change it.",
            "Features are kept: another --method or --seed behind the flag file costs seconds. With more time: "
            "--train=head_then_all --mix=cmo."]
