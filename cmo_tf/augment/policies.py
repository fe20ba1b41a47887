"""Augmentation policies for the training streams: the random draw apart from the pure transform.

A policy draws its parameters for a whole global batch from one stateless seed, so that any worker's rows get the same
pixels, and then applies them to the rows it holds. It works on raw pixels, before mixing and normalisation: zero
padding is black, as published (normalised it is `-mean / std`, not 0).
"""

import tensorflow as tf

from cmo_tf.core.errors import UserError


class CropFlip:
    """Zero-pad by `pad`, crop at a random place to `size`, flip left-right with probability 0.5.

    Args:
        size: (height, width) of the result; None keeps that of the images (then `pad` makes the room).
        pad: pixels added on each side.
        flip: whether to flip.

    Images are (B,H,W,C) of any dtype; the result has the same dtype. Source: methods of CIFAR training since He et al.
    (CVPR 2016), section 4.2; CMO keeps them.
    """

    def __init__(self, size=None, pad=0, flip=True):
        self.size, self.pad, self.flip = size, int(pad), bool(flip)
        self.only_flips = size is None and not self.pad

    def draw(self, seed, batch_size):
        """Parameters of `batch_size` rows from a stateless seed (2,): {"place": (B,2) in [0,1), "flip": (B,) bool}."""
        uniform = tf.random.stateless_uniform([batch_size, 3], seed)
        flip = uniform[:, 2] < 0.5 if self.flip else tf.zeros([batch_size], tf.bool)
        return {"place": uniform[:, :2], "flip": flip}

    def apply(self, images, parameters):
        """The transform itself, row by row as drawn."""
        height, width = self.size or images.shape[1:3]
        images = tf.pad(images, [[0, 0], [self.pad] * 2, [self.pad] * 2, [0, 0]])
        room = tf.constant([images.shape[1] - height + 1, images.shape[2] - width + 1])
        if images.shape[1] < height or images.shape[2] < width:
            raise UserError(f"--augment: images of {images.shape[1]}x{images.shape[2]} cannot be cropped to "
                            f"{height}x{width}")
        corner = tf.cast(parameters["place"] * tf.cast(room, tf.float32), tf.int32)
        corner = tf.minimum(corner, room - 1)
        rows = corner[:, :1] + tf.range(height)
        columns = tf.range(width)
        columns = corner[:, 1:] + tf.where(parameters["flip"][:, None], columns[::-1], columns)
        # Gathering rows copies whole lines; the columns of the few lines left are then picked pixel by pixel.
        return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


class CenterCrop:
    """No augmentation: the centre of images that are stored larger than the network sees them."""

    def __init__(self, size=None):
        self.size = size

    def draw(self, seed, batch_size):
        """Nothing to draw."""
        return {}

    def apply(self, images, parameters=None):
        """The centre crop."""
        return center_crop(images, self.size)


def center_crop(images, size):
    """Centre `size` = (height, width) of (B,H,W,C) images; None leaves them as they are."""
    if size is None or tuple(images.shape[1:3]) == tuple(size):
        return images
    top, left = (images.shape[1] - size[0]) // 2, (images.shape[2] - size[1]) // 2
    return images[:, top:top + size[0], left:left + size[1], :]


def pad1(size=None):
    """Pad 1, no flip: for digits, whose mirror images are other signs."""
    return CropFlip(size, pad=1, flip=False)


def pad4(size=None):
    """Pad 4, no flip."""
    return CropFlip(size, pad=4, flip=False)


def pad4_flip(size=None):
    """Pad 4 and flip, the CIFAR recipe."""
    return CropFlip(size, pad=4, flip=True)


def crop_flip(size=None):
    """Crop from a picture stored larger, and flip."""
    return CropFlip(size, pad=0, flip=True)


class PerRow:
    """A user's own function `f(images, seeds) -> images` with stateless seeds (B,2), one a row."""

    def __init__(self, function):
        self.function = function

    def draw(self, seed, batch_size):
        """A seed a row: {"seeds": int32 (B,2)}."""
        return {"seeds": tf.random.stateless_uniform([batch_size, 2], seed, None, None, tf.int32)}

    def apply(self, images, parameters):
        """The function's result."""
        return self.function(images, parameters["seeds"])
