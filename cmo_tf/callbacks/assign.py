"""Setting a variable of the loss while a model is fitted, on every backend of Keras."""

import keras
import numpy as np
from keras import ops


def assign_in_loss(model: keras.Model, variable: keras.Variable, value: object) -> None:
    """Assigns `value` to a variable of `model.loss`, so that the next step computes with it.

    TensorFlow and PyTorch read the variable in every step. JAX hands a traced step the variables of layers, optimizer
    and metrics; one of the loss is a constant in it. So there the step is traced anew if the value has changed, which
    DRW does once a run.
    """
    traced = keras.backend.backend() == "jax"
    changed = traced and not np.array_equal(ops.convert_to_numpy(variable), np.asarray(value, variable.dtype))
    variable.assign(value)
    if changed:
        model.make_train_function(force=True)
        model.test_function = None  # made by the next evaluation
