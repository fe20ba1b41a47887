"""Names of layers after the modules of the PyTorch original, on every backend."""

import keras


def layer_name(module: str) -> str:
    """Name of the layer with the weights of a PyTorch module, such as `layer1.0.conv1`.

    Keras on PyTorch registers variables under the name of their layer, which PyTorch refuses if it holds a dot; there
    dots become hyphens, which no module has.
    """
    return module.replace(".", "-") if keras.backend.backend() == "torch" else module


def module_name(layer: str) -> str:
    """The name of the PyTorch module behind the name of a layer."""
    return layer.replace("-", ".") if keras.backend.backend() == "torch" else layer
