"""Runs that repeat bit by bit."""

import tensorflow as tf


def make_repeatable(config) -> None:
    """Op determinism where it is asked for: by default on CPU, where it costs little."""
    wanted = config.deterministic
    if wanted is None:
        # Keras compiles nothing with XLA where it is on; XLA's own operations repeat themselves on CPU.
        wanted = not tf.config.list_physical_devices("GPU") and not config.jit_compile
    if wanted:
        tf.config.experimental.enable_op_determinism()
