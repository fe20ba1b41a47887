"""Weights of large networks that need no file: every tensor follows from its PyTorch name and its shape alone.

`tools/maintain/golden/make_resnet.py` gives them to the PyTorch networks, the tests give them to ours.
"""

import zlib

import numpy as np


def tensor(name, shape):
    """The float32 array of a PyTorch parameter or buffer: uniform, of the size that keeps activations near 1."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    uniform = random.randint(-127, 128, shape).astype("float32") / np.float32(127)
    if len(shape) > 1:
        fan_in = shape[0] if name.startswith("linears") else int(np.prod(shape[1:]))
        return uniform * np.float32((6 / fan_in) ** 0.5)
    if name.endswith("running_var") or name.endswith("weight"):
        # The last normalisation of a bottleneck is small, or the sums over blocks would grow.
        return (1 + uniform / 2) * np.float32(0.25 if name.endswith(".bn3.weight") else 1)
    return uniform / 8


def tensors(names, shapes):
    """name -> array for names and their shapes, which are padded with zeros to four numbers."""
    return {str(name): tensor(str(name), tuple(int(n) for n in shape if n)) for name, shape in
            zip(names, shapes, strict=True)}


def images(name, shape):
    """Normalised images (B, C, H, W), float32: bright, dark, flat and busy ones."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    spread = random.uniform(0.3, 1.5, (shape[0], shape[1], 1, 1))
    return (random.uniform(-1, 1, (shape[0], shape[1], 1, 1)) + spread * random.normal(size=shape)).astype("float32")

