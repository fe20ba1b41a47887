"""RandAugment in timm's early form, as PaCo's and CMO's long recipes on large images use it."""

import functools

import tensorflow as tf

from cmo_tf.augment import color, geometry, ops
from cmo_tf.augment.rows import OpTable, check_pixels
from cmo_tf.core.errors import UserError

MAX_LEVEL = 10.0
FILL = (124, 116, 104)


def _signed(scale):
    return lambda level, sign: sign * (level / MAX_LEVEL * scale)


def _whole(scale):
    return lambda level, sign: tf.floor(level / MAX_LEVEL * scale)


def _factor(level, sign):
    return level / MAX_LEVEL * 1.8 + 0.1


def _unset(level, sign):
    return level


# Name -> (function, level in [0, 10] and sign -> its value). Posterize and Solarize are strongest at level 0.
OPS = {
    "autocontrast": (ops.autocontrast, _unset), "equalize": (ops.equalize, _unset), "invert": (ops.invert, _unset),
    "posterize": (ops.posterize, _whole(4)), "solarize": (ops.solarize, _whole(256)),
    "solarize_add": (ops.solarize_add, _whole(110)), "color": (color.color, _factor),
    "contrast": (color.contrast, _factor), "brightness": (color.brightness, _factor),
    "sharpness": (ops.sharpness, _factor), "rotate": (geometry.rotate, _signed(30.0)),
    "shear_x": (geometry.shear_x, _signed(0.3)), "shear_y": (geometry.shear_y, _signed(0.3)),
    "translate_x": (geometry.translate_x, _signed(0.45)), "translate_y": (geometry.translate_y, _signed(0.45)),
}
NAMES = tuple(OPS)
MOVES = (geometry.rotate, geometry.shear_x, geometry.shear_y, geometry.translate_x, geometry.translate_y)
RESAMPLES = ("bilinear", "bicubic")


class RandAugment:
    """n of 15 ops drawn uniformly with replacement, each applied with probability 1/2 at a level ~ N(m, std).

    Args:
        n: ops drawn an image.
        m: mean level in [0, 10], clipped to that range after the draw.
        std: of the level.
        fill: colour of what comes from outside; the mean colour of ImageNet.

    Enhance factors are 0.1 + 0.18 level: at 10 always an increase; Solarize at level 10 does nothing. Rotations, shears
    and translations take a random sign and bilinear or bicubic resampling at random. keras.layers.RandAugment and
    keras-cv's have other ops and ranges. Images (B,H,W,C) uint8, grey or RGB; shape and dtype are kept.
    Source: Cubuk et al. (2020), arXiv:1909.13719, as `rand-n2-m10-mstd0.5` of early timm.
    """

    def __init__(self, n=2, m=10, std=0.5, fill=FILL):
        if n < 1 or not 0 <= m <= MAX_LEVEL or std < 0:
            raise UserError(f"--rand_n={n} is at least 1, --rand_m={m} in [0, 10], --rand_std={std} at least 0")
        self.n, self.m, self.std = int(n), float(m), float(std)
        linear, cubic = ([functools.partial(op, resample=kind, fill=fill) for op in MOVES] for kind in RESAMPLES)
        self.table = OpTable(*(op for op, _ in OPS.values() if op not in MOVES), *linear, *cubic, None)

    def draw(self, seed, batch_size):
        """{"op": (B,n) int32 into the table (ops, bilinear moves, bicubic moves, nothing), "value": (B,n) float64}."""
        seeds = tf.random.experimental.stateless_split(seed, 3)
        shape = [batch_size, self.n]
        kind = tf.random.stateless_uniform(shape, seeds[0], 0, len(NAMES), tf.int32)
        coins = tf.random.stateless_uniform([3, *shape], seeds[1]) < 0.5
        level = tf.random.stateless_normal(shape, seeds[2], self.m, self.std, tf.float64)
        applied, cubic, negative = tf.unstack(coins)
        return self.look_up(kind, level, tf.where(negative, -1.0, 1.0), cubic, applied)

    def look_up(self, kind, level, sign, cubic, applied):
        """Places in the table and values of ops `kind` at `level`, with coins for the rest; all (B,n)."""
        level, sign = tf.clip_by_value(level, 0, MAX_LEVEL), tf.cast(sign, tf.float64)
        values = tf.stack([value(level, sign) for _, value in OPS.values()], -1)
        is_move = kind >= len(NAMES) - len(MOVES)
        op = tf.where(applied, kind + tf.where(cubic & is_move, len(MOVES), 0), len(self.table) - 1)
        return {"op": op, "value": tf.gather(values, kind, batch_dims=2)}

    def apply(self, images, parameters):
        """The transformed images."""
        check_pixels(images, "rand_timm")
        for place in range(self.n):
            images = self.table(images, parameters["op"][:, place], parameters["value"][:, place])
        return images
