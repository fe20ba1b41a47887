"""Tone ops of AutoAugment and RandAugment, equal to Pillow's to the last bit.

Built on Keras where it is the same operation: posterize and solarize are the transforms of
keras.layers.RandomPosterization and Solarization with their parameters handed in. The others differ from Pillow
(largest difference measured): Equalization of keras by 131 levels and of keras-cv by 64, AutoContrast by 1 in float32,
RandomSharpness by 98 (it darkens the border). keras-cv has nothing beyond these that is the same operation.
Each op takes images (b,H,W,C) uint8 and a value (b,) float, ignored where there is nothing to set, and keeps shape and
dtype.
"""

import functools

import keras
import tensorflow as tf

from cmo_tf.augment.color import blend


def invert(images, value=None):
    """255 - x: PIL.ImageOps.invert."""
    return 255 - images


def posterize(images, bits):
    """Keeps the highest `bits` (0 to 8) of each value, truncated to a whole number: PIL.ImageOps.posterize."""
    bits = tf.cast(bits, tf.int32)
    shift = tf.cast(8 - bits, tf.uint8)
    kept = _posterization().transform_images(images, {"shift_factor": shift})
    # A shift by the whole width is none at all.
    return tf.where(bits[:, None, None, None] > 0, tf.cast(kept, tf.uint8), tf.zeros_like(images))


def solarize(images, threshold):
    """Inverts values from `threshold` up: PIL.ImageOps.solarize."""
    thresholds = tf.cast(threshold, tf.float32)[:, None, None, None]
    transformation = {"thresholds": thresholds, "additions": tf.zeros_like(thresholds)}
    return tf.cast(_solarization().transform_images(images, transformation), tf.uint8)


def solarize_add(images, amount):
    """Adds `amount`, truncated to a whole number, to values below 128; the sum ends at 255."""
    wide = tf.cast(images, tf.int32)
    amount = tf.cast(amount, tf.int32)[:, None, None, None]
    return tf.cast(tf.where(wide < 128, tf.minimum(wide + amount, 255), wide), tf.uint8)


def autocontrast(images, value=None):
    """Stretches each channel to 0..255, in float64 and truncated: PIL.ImageOps.autocontrast. A flat channel stays."""
    wide = tf.cast(images, tf.float64)
    low, high = tf.reduce_min(wide, [1, 2], keepdims=True), tf.reduce_max(wide, [1, 2], keepdims=True)
    scale = 255 / tf.maximum(high - low, 1)
    stretched = tf.cast(tf.clip_by_value(wide * scale + -low * scale, 0, 255), tf.uint8)
    return tf.where(high > low, stretched, images)


def equalize(images, value=None):
    """Flattens each channel's histogram in whole numbers: PIL.ImageOps.equalize."""
    height, width, channels = images.shape[1:]
    plane = tf.reshape(tf.transpose(tf.cast(images, tf.int32), [0, 3, 1, 2]), [-1, height * width])
    histogram = tf.math.bincount(plane, minlength=256, maxlength=256, axis=-1)
    brightest = tf.gather(histogram, tf.reduce_max(plane, -1, keepdims=True), batch_dims=1)
    step = (height * width - brightest) // 255
    below = tf.cumsum(histogram, axis=-1, exclusive=True)
    table = tf.minimum((step // 2 + below) // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, table, tf.range(256))
    flat = tf.reshape(tf.gather(table, plane, batch_dims=1), [-1, channels, height, width])
    return tf.cast(tf.transpose(flat, [0, 2, 3, 1]), tf.uint8)


def sharpness(images, factor):
    """Blend with the picture smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, its border left: PIL.ImageEnhance.Sharpness."""
    wide = tf.cast(images, tf.int32)
    inner = [wide[:, 1 + dy:wide.shape[1] - 1 + dy, 1 + dx:wide.shape[2] - 1 + dx]
             for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    # Thirteenths rounded to the nearest: there are no ties.
    smooth = (2 * (tf.add_n(inner) + 4 * inner[4]) + 13) // 26
    line, column = tf.range(wide.shape[1])[:, None, None], tf.range(wide.shape[2])[:, None]
    border = (line == 0) | (line == wide.shape[1] - 1) | (column == 0) | (column == wide.shape[2] - 1)
    return blend(tf.where(border, wide, tf.pad(smooth, [[0, 0], [1, 1], [1, 1], [0, 0]])), images, factor)


# Made once: layers own a (here unused) seed generator, whose variable a traced function must not make again.
@functools.cache
def _posterization():
    return keras.layers.RandomPosterization(8, value_range=(0, 255))


@functools.cache
def _solarization():
    return keras.layers.Solarization(0.0, 1.0, value_range=(0, 255))
