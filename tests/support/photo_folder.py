"""A folder of photographs in 12 classes with a long tail, cut from real pictures that scikit-image and scikit-learn
bring along."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from cmo_tf.long_tail import class_counts

NAMES = ("cat", "flower", "coffee", "temple", "astronaut", "rocket", "brick", "grass", "gravel", "retina", "tissue",
         "galaxy")


@functools.cache
def originals() -> dict[str, np.ndarray]:
    """Name -> uint8 (H, W, 3) or (H, W)."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    return {"cat": data.chelsea(), "flower": flower, "coffee": data.coffee(), "temple": temple,
            "astronaut": data.astronaut(), "rocket": data.rocket(), "brick": data.brick(), "grass": data.grass(),
            "gravel": data.gravel(), "retina": data.retina(), "tissue": data.immunohistochemistry(),
            "galaxy": data.hubble_deep_field()}


def make(root, largest: int = 150, ratio: float = 20, sides=(90, 200), seed: int = 0) -> Path:
    """Writes ROOT/<class>/<number>.jpg or .png, class sizes falling exponentially from `largest`, and returns ROOT."""
    random, pictures = np.random.RandomState(seed), originals()
    for name, count in zip(NAMES, class_counts(len(NAMES), largest, ratio), strict=True):
        folder = Path(root) / name
        folder.mkdir(parents=True)
        for row in range(count):
            crop(pictures[name], random, sides).save(folder / f"{row:04d}.{'png' if row % 7 == 0 else 'jpg'}")
    return Path(root)


def crop(pixels, random, sides) -> Image.Image:
    """A random rectangle of a picture."""
    height, width = random.randint(*sides, 2)
    y, x = random.randint(0, pixels.shape[0] - height + 1), random.randint(0, pixels.shape[1] - width + 1)
    return Image.fromarray(pixels[y:y + height, x:x + width])
