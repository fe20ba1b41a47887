"""Shears, translations and rotations equal to PIL's Image.transform and Image.rotate with a fill colour.

Nearest translation is keras.ops.image.affine_transform. The rest is ours: Pillow settles ties of nearest resampling in
16-bit fixed point (with Keras a rotation differs at one pixel in a thousand), and it never blends with the fill colour
(a point is outside, or its neighbours are clipped to the picture), which Keras does, up to 62 levels at the edges.
Each op takes images (b,H,W,C) uint8 and a value (b,) float64, and keeps shape and dtype.
"""

import keras
import numpy as np
import tensorflow as tf


def shear_x(images, value, resample="nearest", fill=(128, 128, 128)):
    """Row y moves left by `value * y` pixels."""
    return transform(images, _matrices(value, ab=value), resample, fill)


def shear_y(images, value, resample="nearest", fill=(128, 128, 128)):
    """Column x moves up by `value * x` pixels."""
    return transform(images, _matrices(value, ba=value), resample, fill)


def translate_x(images, value, resample="nearest", fill=(128, 128, 128)):
    """Moves left by `value` parts of the width."""
    return _translate(images, _matrices(value, dx=value * images.shape[2]), resample, fill)


def translate_y(images, value, resample="nearest", fill=(128, 128, 128)):
    """Moves up by `value` parts of the height."""
    return _translate(images, _matrices(value, dy=value * images.shape[1]), resample, fill)


def rotate(images, value, resample="nearest", fill=(128, 128, 128)):
    """Turns by `value` degrees counter-clockwise about the middle."""
    angle = -value * (np.pi / 180)
    cos, sin = _rounded(tf.cos(angle)), _rounded(tf.sin(angle))
    middle_y, middle_x = images.shape[1] / 2, images.shape[2] / 2
    dx = cos * -middle_x + sin * -middle_y + middle_x
    dy = -sin * -middle_x + cos * -middle_y + middle_y
    return transform(images, _matrices(value, cos, sin, dx, -sin, cos, dy), resample, fill)


def transform(images, matrices, resample, fill):
    """PIL's affine transform: the pixel at (x, y) comes from (a x + b y + c, d x + e y + f), pixel centres at 1/2.

    Args:
        images: (b,H,W,C) uint8, any dtype with nearest resampling. matrices: (b,6) float64 of a..f.
        resample: "nearest", "bilinear" or "bicubic" (a = -1).
        fill: colour of what comes from outside, a value a channel; a grey picture takes the first.
    """
    channels = images.shape[-1]
    fill = tf.cast(np.resize(fill, channels), images.dtype)
    if resample == "nearest":
        return _nearest(images, matrices, fill)
    x, y, inside = _sources(images, matrices)
    left, top = tf.floor(x - 0.5), tf.floor(y - 0.5)
    right_part, bottom_part = (x - 0.5 - left)[..., None], (y - 0.5 - top)[..., None]
    reach = {"bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}[resample]
    interpolate = {"bilinear": _linear, "bicubic": _cubic}[resample]
    pixels = tf.reshape(images, [-1, images.shape[1] * images.shape[2], channels])

    def tap(down, along):
        row = tf.clip_by_value(tf.cast(top, tf.int32) + down, 0, images.shape[1] - 1)
        column = tf.clip_by_value(tf.cast(left, tf.int32) + along, 0, images.shape[2] - 1)
        return tf.cast(tf.gather(pixels, row * images.shape[2] + column, batch_dims=1), tf.float64)

    lines = [interpolate([tap(down, along) for along in reach], right_part) for down in reach]
    value = tf.cast(tf.clip_by_value(interpolate(lines, bottom_part), 0, 255), tf.uint8)
    return tf.where(inside[..., None], value, fill)


def _nearest(images, matrices, fill):
    """Nearest resampling with the coordinates in 2^-16 of a pixel, as PIL has them."""
    height, width, channels = images.shape[1:]
    a, b, c, d, e, f = tf.unstack(matrices, axis=-1)
    c, f = c + a * 0.5 + b * 0.5, f + d * 0.5 + e * 0.5
    fixed = [tf.cast(tf.floor(entry * 65536 + 0.5), tf.int32)[:, None, None] for entry in (a, b, c, d, e, f)]
    x, y = tf.range(width), tf.range(height)[:, None]
    column = tf.bitwise.right_shift(fixed[0] * x + fixed[1] * y + fixed[2], 16)
    row = tf.bitwise.right_shift(fixed[3] * x + fixed[4] * y + fixed[5], 16)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = tf.clip_by_value(row, 0, height - 1) * width + tf.clip_by_value(column, 0, width - 1)
    pixels = tf.gather(tf.reshape(images, [-1, height * width, channels]), place, batch_dims=1)
    return tf.where(inside[..., None], pixels, fill)


def _translate(images, matrices, resample, fill):
    if resample != "nearest":
        return transform(images, matrices, resample, fill)
    rows = tf.concat([matrices, tf.zeros_like(matrices[:, :2])], -1)
    # One fill value fits all channels alike: shifted by it, the outside is 0.
    shift = tf.constant(np.resize(fill, images.shape[-1]), tf.float32)
    moved = keras.ops.image.affine_transform(tf.cast(images, tf.float32) - shift, tf.cast(rows, tf.float32),
                                             interpolation="nearest", fill_mode="constant", fill_value=0,
                                             data_format="channels_last")
    return tf.cast(moved + shift, tf.uint8)


def _sources(images, matrices):
    """Where each pixel comes from: x and y (b,H,W) float64 from the corner, and whether that is inside."""
    height, width = images.shape[1:3]
    x = tf.range(width, dtype=tf.float64) + 0.5
    y = tf.range(height, dtype=tf.float64)[:, None] + 0.5
    a, b, c, d, e, f = (column[:, None, None] for column in tf.unstack(matrices, axis=-1))
    source_x, source_y = a * x + b * y + c, d * x + e * y + f
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    return source_x, source_y, inside


def _linear(taps, part):
    return taps[0] + (taps[1] - taps[0]) * part


def _cubic(taps, part):
    first, second, third, fourth = taps
    quadratic = 2 * (first - second) + third - fourth
    cubic = -first + second - third + fourth
    return second + part * (third - first + part * (quadratic + part * cubic))


def _matrices(like, aa=1.0, ab=0.0, dx=0.0, ba=0.0, bb=1.0, dy=0.0):
    """(b,6) float64 of a, b, c, d, e, f, each a number or (b,)."""
    entries = [tf.cast(entry, tf.float64) for entry in (aa, ab, dx, ba, bb, dy)]
    return tf.stack([tf.broadcast_to(entry, tf.shape(like)) for entry in entries], -1)


def _rounded(number):
    """To 15 decimals, as PIL does, so that a quarter turn is one."""
    return tf.round(number * 1e15) / 1e15
