"""Colour jitter and Gaussian blur for the images of minority classes only (paper Table 12, supplement A)."""

import numpy as np
import tensorflow as tf

from cmo_tf.augment.blur import KernelBlur
from cmo_tf.augment.compose import run
from cmo_tf.augment.jitter import ColorJitter
from cmo_tf.augment.rows import by_row, check_pixels
from cmo_tf.core.errors import UserError


class Minority:
    """A policy for the rows of minority classes; other rows are left alone.

    Args:
        policy: what is done to them; keeps size and dtype.
        class_counts: (C,) training images a class.
        minority_max: classes of at most this many images are minority classes. The paper leaves the boundary open;
            100 takes the medium and the few.
        name: for messages.
    """

    needs_labels = True

    def __init__(self, policy, class_counts, minority_max=100, name="minority"):
        if class_counts is None:
            raise UserError(f"--augment={name} needs the class counts of the training set")
        self.policy, self.name = policy, name
        self.is_minority = tf.constant(np.asarray(class_counts) <= minority_max)

    def draw(self, seed, batch_size):
        """The draws of the policy, for every row."""
        return self.policy.draw(seed, batch_size)

    def apply(self, images, parameters, labels):
        """Images (b,H,W,C) uint8 of classes `labels` (b,), transformed where the class is a minority one."""
        check_pixels(images, self.name)
        chosen = tf.cast(tf.gather(self.is_minority, labels), tf.int32)

        def transformed(mine, rows):
            return run(self.policy, mine, {name: tf.gather(column, rows) for name, column in parameters.items()},
                       tf.gather(labels, rows))
        return by_row(images, chosen, [lambda mine, rows: mine, transformed])


def minority_jitter(class_counts, minority_max=100):
    """ColorJitter(brightness 0.5, hue 0.3): factor U(0.5, 1.5), hue shift U(-0.3, 0.3) of the circle."""
    return Minority(ColorJitter(brightness=0.5, hue=0.3), class_counts, minority_max, "jitter_minority")


def minority_blur(class_counts, minority_max=100):
    """GaussianBlur of kernel (5, 7), that is width 5 and height 7, sigma U(0.1, 5), reflected borders."""
    return Minority(KernelBlur((5, 7), 0.1, 5.0), class_counts, minority_max, "blur_minority")
