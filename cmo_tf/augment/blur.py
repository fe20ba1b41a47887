"""Gaussian blur, twice: Pillow's (three box blurs) and torchvision's (a small sampled kernel).

keras.ops.image.gaussian_blur is neither: it pads with black, takes one sigma a batch and scrambles a kernel that is not
square (the (7,5) outer product is reshaped, not transposed, to (5,7)).
"""

import numpy as np
import tensorflow as tf


class BoxBlur:
    """ImageFilter.GaussianBlur of Pillow with a radius sigma ~ U(low, high) a row: SimCLR's blur in MoCo's code.

    Three extended box blurs along each axis in 24-bit fixed point, rounded to 8 bits after each, borders replicated;
    the box follows from sigma by Gwosdek et al., SSVM 2011, equations 7, 11 and 14. Images (B,H,W,C) uint8.
    """

    def __init__(self, low=0.1, high=2.0):
        self.low, self.high = low, high
        self.reach = int(box_radius(np.float32(high))) + 1

    def draw(self, seed, batch_size):
        """{"sigma": (B,) float32}."""
        return {"sigma": tf.random.stateless_uniform([batch_size], seed, self.low, self.high)}

    def apply(self, images, parameters):
        """The blurred images."""
        weights = self._weights(box_radius(parameters["sigma"]))
        blurred = tf.cast(images, tf.float64)
        for axis in (2, 1):
            for _ in range(3):
                blurred = _box(blurred, weights, axis)
        return tf.cast(blurred, tf.uint8)

    def _weights(self, radius):
        """Weights (b,1,1,1) at distances 0..reach in parts of 2^24: whole pixels, and what is left for the two ends."""
        whole = tf.floor(radius)
        inner = tf.floor(tf.cast(2.0**24 / (radius * 2 + 1), tf.float64))
        outer = tf.floor((2.0**24 - tf.cast(whole * 2 + 1, tf.float64) * inner) / 2)
        weights = [tf.where(k <= whole, inner, tf.where(k == whole + 1, outer, 0)) for k in range(self.reach + 1)]
        return [weight[:, None, None, None] for weight in weights]


def _box(images, weights, axis):
    """One extended box blur along an axis; float64 holds the fixed-point sums exactly."""
    side, reach = images.shape[axis], len(weights) - 1
    before, after = (tf.gather(images, [end] * reach, axis=axis) for end in (0, side - 1))
    padded = tf.concat([before, images, after], axis)
    shifted = [padded[:, k:k + side] if axis == 1 else padded[:, :, k:k + side] for k in range(2 * reach + 1)]
    total = weights[0] * images + 2.0**23
    for k in range(1, reach + 1):
        total += weights[k] * (shifted[reach - k] + shifted[reach + k])
    return tf.floor(total / 2.0**24)


def box_radius(sigma):
    """Radius of the extended box whose three-fold blur has the variance sigma^2, in float32."""
    variance = sigma * sigma / 3
    root = tf.sqrt(12.0 * variance + 1.0)
    whole = tf.floor((root - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)))
    return whole + part


class KernelBlur:
    """torchvision's GaussianBlur(kernel, (low, high)): sigma ~ U(low, high) a row, the same for both axes.

    Args:
        kernel: (width, height) of the kernel, odd.
        low, high: of sigma.

    Weights `exp(-x^2 / 2 sigma^2)` at whole distances, scaled to sum 1; borders reflected; the sum in float32, rounded
    to the nearest level. Images (B,H,W,C) uint8, larger than half the kernel.
    """

    def __init__(self, kernel=(5, 7), low=0.1, high=5.0):
        self.kernel, self.low, self.high = kernel, low, high

    def draw(self, seed, batch_size):
        """{"sigma": (B,) float32}."""
        return {"sigma": tf.random.stateless_uniform([batch_size], seed, self.low, self.high)}

    def apply(self, images, parameters):
        """The blurred images."""
        across, down = (side // 2 for side in self.kernel)
        height, width = images.shape[1:3]
        # Not tf.pad, which refuses to reflect a batch of no rows.
        padded = tf.gather(tf.cast(images, tf.float32), np.pad(np.arange(width), across, "reflect"), axis=2)
        padded = tf.gather(padded, np.pad(np.arange(height), down, "reflect"), axis=1)
        lines = sum(weight * padded[:, :, k:k + width]
                    for k, weight in enumerate(_gaussian(parameters["sigma"], across)))
        blurred = sum(weight * lines[:, k:k + height] for k, weight in enumerate(_gaussian(parameters["sigma"], down)))
        return tf.cast(tf.clip_by_value(tf.round(blurred), 0, 255), tf.uint8)


def _gaussian(sigma, reach):
    """2 reach + 1 weights (b,1,1,1) of a Gaussian sampled at whole distances, summing to 1."""
    distance = tf.range(-reach, reach + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * tf.square(distance / sigma[:, None]))
    weights /= tf.reduce_sum(weights, -1, keepdims=True)
    return tf.unstack(weights[:, :, None, None, None], axis=1)
