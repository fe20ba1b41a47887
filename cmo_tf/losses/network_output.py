"""What a loss here is called on in `fit` of a plain keras.Model: logits, or else a refusal that names the layer."""

import sys
from types import FrameType

import keras

from cmo_tf.core.errors import UserError

SQUASHING = ("softmax", "sigmoid", "hard_sigmoid", "sparse_sigmoid", "sparsemax")
# Layers and operations that a softmax is looked for behind.
PASSING = ("Activation", "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze")


def refuse_probabilities(model: keras.Model | None) -> None:
    """A UserError that names the layer if a model's logits come out of a softmax or a sigmoid; None passes.

    Seen in functional and sequential models, nested ones included; what a subclassed model does inside is not.
    """
    if squashing := _squashing(model):
        name, activation = squashing
        raise UserError(f"the network ends in {activation} (layer {name!r}), but losses of cmo_tf take logits: give "
                        "that layer activation=None (a keras.applications network: classifier_activation=None)")


def refuse_squashed(logits) -> None:
    """A UserError for a tensor that Keras marks as what its softmax or sigmoid made (on TensorFlow and PyTorch)."""
    if hasattr(logits, "_keras_logits"):
        raise UserError("the network ends in a softmax or sigmoid, but losses of cmo_tf take logits: leave it out "
                        "(activation=None)")


def calling_model() -> keras.Model | None:
    """The model in whose `compute_loss` we are, or None. Keras tells a loss nothing of the model that it is for."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "compute_loss" and isinstance(frame.f_locals.get("self"), keras.Model):
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


def _squashing(model):
    """(layer name, activation) at the end of a model, or None."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
        if not model.built:
            return None if last is None else _activation(last)
        output = model.outputs[0]
    else:
        output = _logits(getattr(model, "output", None) if hasattr(model, "outputs") else None)
    return None if output is None else _behind(output)


def _logits(output):
    """The one output of a functional model that a loss takes, or None where there are several."""
    if isinstance(output, dict):
        return output.get("logits")
    if isinstance(output, (list, tuple)):
        return output[0] if len(output) == 1 else None
    return output


def _behind(tensor):
    """(layer name, activation) that a symbolic tensor comes out of, behind layers that leave values as they are."""
    while tensor is not None:
        operation = tensor._keras_history.operation
        if isinstance(operation, keras.Model):
            return _squashing(operation)
        if activation := _activation(operation):
            return activation
        inputs = operation._inbound_nodes[tensor._keras_history.node_index].input_tensors
        tensor = inputs[0] if type(operation).__name__ in PASSING and len(inputs) == 1 else None
    return None


def _activation(operation):
    kind = type(operation).__name__.lower()  # a layer Softmax, or keras.ops.softmax on a symbolic tensor
    name = kind if kind in SQUASHING else getattr(getattr(operation, "activation", None), "__name__", None)
    return (operation.name, name) if name in SQUASHING else None
