"""Runs that repeat bit by bit."""

import tensorflow as tf


def make_repeatable(config) -> None:
    """Op determinism where it is asked for: by default on CPU, where it costs little."""
    wanted = config.deterministic
    if wanted is None:
        wanted = not tf.config.list_physical_devices("GPU")
    if wanted:
        tf.config.experimental.enable_op_determinism()
