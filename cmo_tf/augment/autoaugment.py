"""AutoAugment's policy for CIFAR-10."""

import functools

import numpy as np
import tensorflow as tf

from cmo_tf.augment import color, geometry, ops
from cmo_tf.augment.rows import OpTable, check_pixels

# Two of (op, probability, magnitude index) a sub-policy.
SUB_POLICIES = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)), (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)), (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)), (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)), (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)), (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)), (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)), (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)), (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)), (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)), (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)), (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)), (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)),
)

# Op -> (function, values at magnitudes 0 and 9, whether the value takes a random sign, what it is added to).
# The official port of PaCo and CMO turns one way only, shears bicubic and moves by whole pixels.
OPS = {
    "shear_x": (functools.partial(geometry.shear_x, resample="bicubic"), (0.0, 0.3), True, 0.0),
    "shear_y": (functools.partial(geometry.shear_y, resample="bicubic"), (0.0, 0.3), True, 0.0),
    "translate_x": (geometry.translate_x, (0.0, 150 / 331), True, 0.0),
    "translate_y": (geometry.translate_y, (0.0, 150 / 331), True, 0.0),
    "rotate": (geometry.rotate, (0.0, 30.0), False, 0.0),
    "color": (color.color, (0.0, 0.9), True, 1.0),
    "contrast": (color.contrast, (0.0, 0.9), True, 1.0),
    "sharpness": (ops.sharpness, (0.0, 0.9), True, 1.0),
    "brightness": (color.brightness, (0.0, 0.9), True, 1.0),
    "posterize": (ops.posterize, (8.0, 4.0), False, 0.0),
    "solarize": (ops.solarize, (256.0, 0.0), False, 0.0),
    "autocontrast": (ops.autocontrast, (0.0, 0.0), False, 0.0),
    "equalize": (ops.equalize, (0.0, 0.0), False, 0.0),
    "invert": (ops.invert, (0.0, 0.0), False, 0.0),
}
NAMES = tuple(OPS)
TABLE = OpTable(*(entry[0] for entry in OPS.values()), None)


class AutoAugment:
    """One of the 25 CIFAR-10 sub-policies an image, uniformly; each of its two ops happens with its own probability.

    Images (B,H,W,C) uint8, grey or RGB; shape and dtype are kept, what comes from outside is (128, 128, 128).
    Source: Cubuk et al. (CVPR 2019), Table 7, in the port that PaCo's and CMO's long recipes use.
    """

    def draw(self, seed, batch_size):
        """{"op": (B,2) int32 into TABLE, "value": (B,2) float64}."""
        seeds = tf.random.experimental.stateless_split(seed, 3)
        policy = tf.random.stateless_uniform([batch_size], seeds[0], 0, len(SUB_POLICIES), tf.int32)
        coin = tf.random.stateless_uniform([batch_size, 2], seeds[1])
        sign = tf.random.stateless_uniform([batch_size, 2], seeds[2]) < 0.5
        return self.look_up(policy, coin, tf.where(sign, -1.0, 1.0))

    def look_up(self, policy, coin, sign):
        """Ops and values of sub-policies (B,) with coins (B,2) in [0, 1) and signs (B,2) of -1 or 1."""
        kind, probability, value, signed, base = (tf.gather(column, policy) for column in _tables())
        op = tf.where(coin < probability, kind, len(NAMES))
        return {"op": op, "value": base + value * tf.where(signed, tf.cast(sign, tf.float64), 1)}

    def apply(self, images, parameters):
        """The transformed images."""
        check_pixels(images, "autoaugment")
        for place in range(2):
            images = TABLE(images, parameters["op"][:, place], parameters["value"][:, place])
        return images


def _tables():
    """Columns (25,2) over the sub-policies: op number, probability, magnitude, whether signed, what it is added to."""
    rows = [[(NAMES.index(name), probability, magnitude(name, index), *OPS[name][2:])
             for name, probability, index in pair] for pair in SUB_POLICIES]
    columns = np.moveaxis(np.array(rows, np.float64), -1, 0)
    kinds = (tf.int32, tf.float32, tf.float64, tf.bool, tf.float64)
    return [tf.cast(column, kind) for column, kind in zip(columns, kinds, strict=True)]


def magnitude(name, index):
    """Value at magnitude index 0..9; posterize keeps whole bits, rounded."""
    value = np.linspace(*OPS[name][1], 10)[index]
    return np.round(value) if name == "posterize" else value
