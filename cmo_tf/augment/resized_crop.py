"""RandomResizedCrop of torchvision on PIL images."""

import math

import tensorflow as tf

from cmo_tf.augment import encoded as encoded_pictures
from cmo_tf.augment.rows import check_pixels
from cmo_tf.core.errors import UserError

ATTEMPTS = 10


class ResizedCrop:
    """Crops a box of random area and aspect and resizes it, bilinear with anti-aliasing as PIL's Image.resize.

    Args:
        size: (height, width) of the result; None keeps that of the images.
        scale: share of the area, uniform between the two.
        ratio: width / height, log-uniform between the two.

    Ten draws of (area, aspect) are tried until one fits; then the largest centred box with an allowed aspect is taken.
    `read` does the same from encoded pictures of any sizes, each with its own box, without decoding all of them.
    tf.image.sample_distorted_bounding_box draws from other distributions. Images (B,H,W,C) uint8; both passes of the
    resize round to 8 bits, the horizontal one first, as Pillow did up to version 12 (version 13 chooses the order).
    Source: Szegedy et al. (CVPR 2015), torchvision.
    """

    reads = True

    def __init__(self, size=None, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
        self.size, self.scale, self.ratio = size, scale, ratio

    def draw(self, seed, batch_size):
        """{"shape": (B,10,2) in [0, 1): area and aspect of the tries; "place": (B,2) in [0, 1)}, float64."""
        uniform = tf.random.stateless_uniform([batch_size, 2 * ATTEMPTS + 2], seed, dtype=tf.float64)
        return {"shape": tf.reshape(uniform[:, 2:], [-1, ATTEMPTS, 2]), "place": uniform[:, :2]}

    def apply(self, images, parameters):
        """The crops."""
        check_pixels(images, "resized crop")
        height, width = images.shape[1:3]
        box = self.boxes(parameters, height, width)
        out_height, out_width = self.size or (height, width)
        lines = resize(images, box[:, 1], box[:, 3], out_width, axis=2)
        return resize(lines, box[:, 0], box[:, 2], out_height, axis=1)

    def read(self, encoded, parameters, flip=None):
        """The crops (b, *size, 3) uint8 of encoded pictures (b,), those mirrored for which `flip` (b,) says so."""
        if self.size is None:
            raise UserError("resized crop: encoded pictures are of varied size, so that the size of the result is "
                            "needed")
        height, width = tf.unstack(encoded_pictures.sizes(encoded), axis=-1)
        return encoded_pictures.crops(encoded, self.boxes(parameters, height, width), self.size,
                                      flip)

    def boxes(self, parameters, height, width):
        """(b,4) int32 of top, left, height, width in images of `height` x `width`, numbers or (b,) each."""
        tries = tf.shape(parameters["place"])[0]
        whole = tf.stack([tf.broadcast_to(height, [tries]), tf.broadcast_to(width, [tries])], -1)
        height, width = tf.split(tf.cast(whole, tf.float64), 2, axis=-1)
        area = height * width * _between(parameters["shape"][..., 0], *self.scale)
        aspect = tf.exp(_between(parameters["shape"][..., 1], math.log(self.ratio[0]), math.log(self.ratio[1])))
        tall, wide = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
        fits = (tall > 0) & (tall <= height) & (wide > 0) & (wide <= width)
        first = tf.argmax(fits, axis=-1, output_type=tf.int32)
        side = tf.cast(tf.gather(tf.stack([tall, wide], -1), first, batch_dims=1), tf.int32)
        room = whole - side + 1
        corner = tf.minimum(tf.cast(parameters["place"] * tf.cast(room, tf.float64), tf.int32), room - 1)
        centered = self._centered(height, width)
        return tf.where(tf.reduce_any(fits, -1)[:, None], tf.concat([corner, side], -1), centered)

    def _centered(self, height, width):
        """The largest centred boxes (b,4) of an allowed aspect; height and width (b,1) float64."""
        low, high = self.ratio
        tall = tf.where(width / height < low, tf.round(width / low), height)
        wide = tf.where(width / height > high, tf.round(height * high), width)
        return tf.cast(tf.concat([(height - tall) // 2, (width - wide) // 2, tall, wide], -1), tf.int32)


def resize(images, start, length, out_side, axis):
    """One pass of PIL's bilinear resize of lines `[start, start + length)` of an axis, per row, to `out_side` lines.

    A triangle as wide as a line of the coarser of the two grids, cut at the borders of the crop, in 22-bit fixed point.

    Args:
        images: (b,H,W,C) uint8. start, length: (b,) int32. axis: 1 or 2.
    """
    side = images.shape[axis]
    start, length = start[:, None], length[:, None]
    scale = tf.cast(length, tf.float64) / out_side
    reach = tf.maximum(scale, 1)
    center = (tf.range(out_side, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(center - reach + 0.5, tf.int32), 0)
    lines = [first + tap for tap in range(2 * math.ceil(max(side / out_side, 1)) + 1)]
    weights = [tf.where(line < length, tf.nn.relu(1 - abs(tf.cast(line, tf.float64) + 0.5 - center) / reach), 0)
               for line in lines]
    total = tf.add_n(weights)
    shape = [-1, out_side, 1, 1] if axis == 1 else [-1, 1, out_side, 1]
    value = 2**21
    for line, weight in zip(lines, weights, strict=True):
        pixels = tf.gather(images, tf.minimum(start + line, side - 1), axis=axis, batch_dims=1)
        fixed = tf.cast(0.5 + weight / total * 2**22, tf.int32)
        value += tf.reshape(fixed, shape) * tf.cast(pixels, tf.int32)
    return tf.cast(tf.clip_by_value(tf.bitwise.right_shift(value, 22), 0, 255), tf.uint8)


def _between(uniform, low, high):
    return low + uniform * (high - low)
