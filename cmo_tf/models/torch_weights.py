"""PyTorch state dicts into our networks: a layer named after its torch module takes that module's tensors."""

from collections.abc import Mapping

import keras
import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.models.causal import CausalNorm
from cmo_tf.models.heads import NormedLinear
from cmo_tf.models.names import module_name

# Layer class -> torch parameter -> (Keras variable, transposition of the torch array into Keras' order).
RULES = {
    keras.layers.Conv2D: {"weight": ("kernel", (2, 3, 1, 0)), "bias": ("bias", (0,))},
    keras.layers.DepthwiseConv2D: {"weight": ("kernel", (2, 3, 0, 1)), "bias": ("bias", (0,))},
    keras.layers.Dense: {"weight": ("kernel", (1, 0)), "bias": ("bias", (0,))},
    NormedLinear: {"weight": ("kernel", (0, 1))},
    CausalNorm: {"weight": ("kernel", (1, 0))},
    keras.layers.BatchNormalization: {
        "weight": ("gamma", (0,)),
        "bias": ("beta", (0,)),
        "running_mean": ("moving_mean", (0,)),
        "running_var": ("moving_variance", (0,)),
    },
}


def load_torch_weights(model: keras.Model, state_dict: Mapping[str, ArrayLike]) -> None:
    """Sets every weight of a network from a PyTorch state dict; nothing is set unless everything fits.

    Args:
        model: a built keras.Model whose layers are named after torch modules, as `models.create` makes them; nested
            models are searched too. Their plain layers (`preprocess`) have no weights and are left alone.
        state_dict: name -> array as PyTorch names and lays them out (`conv1.weight` OIHW, `linear.weight` (out, in),
            but (in, out) for the normed head). `num_batches_tracked` is ignored.

    Raises:
        UserError: names the first tensor that is missing, left over, or of another shape.

    Examples:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="fc")])
        >>> load_torch_weights(model, {"fc.weight": np.ones((3, 2)), "fc.bias": np.array([0.0, 1.0, 2.0])})
        >>> model(np.ones((1, 2), "float32")).numpy().tolist()
        [[2.0, 3.0, 4.0]]
    """
    tensors = {name: array for name, array in state_dict.items() if not name.endswith("num_batches_tracked")}
    targets = dict(_targets(model))
    missing = next((name for name in targets if name not in tensors), None)
    if missing:
        raise UserError(f"state_dict: no tensor {missing!r}, which {model.name} needs")
    left_over = next((name for name in tensors if name not in targets), None)
    if left_over:
        raise UserError(f"state_dict: {model.name} has no place for tensor {left_over!r}")
    values = {name: _fit(name, tensors[name], *target) for name, target in targets.items()}
    for name, (variable, _) in targets.items():
        variable.assign(values[name])


def _targets(model):
    """Pairs torch name -> (variable, transposition), in the order of the layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _targets(layer)
            continue
        rule = next((rule for kind, rule in RULES.items() if isinstance(layer, kind)), None)
        if rule is None and any(variable.trainable for variable in layer.variables):
            raise UserError(f"layer {layer.name!r} ({type(layer).__name__}): no rule for weights from PyTorch")
        for parameter, (attribute, order) in (rule or {}).items():
            variable = getattr(layer, attribute, None)
            if variable is not None:
                yield f"{module_name(layer.name)}.{parameter}", (variable, order)


def _fit(name, tensor, variable, order) -> np.ndarray:
    array = np.asarray(tensor, dtype=np.float32)
    expected = tuple(variable.shape[order.index(axis)] for axis in range(len(order)))
    if array.shape != expected:
        raise UserError(f"state_dict: tensor {name!r} has shape {array.shape}, the network needs {expected}")
    return array.transpose(order)
