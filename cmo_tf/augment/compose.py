"""Policies made of policies: one after the other (`Chain`), one of several a row (`Choice`), perhaps (`sometimes`)."""

import numpy as np
import tensorflow as tf

from cmo_tf.augment.resized_crop import ResizedCrop
from cmo_tf.augment.rows import by_row


@tf.autograph.experimental.do_not_convert  # nothing in it to convert, and a third of the time to trace it
def run(policy, images, parameters, labels=None):
    """Applies a policy, with the labels (b,) of the rows if it asks for them (`needs_labels = True`)."""
    if getattr(policy, "needs_labels", False):
        return policy.apply(images, parameters, labels=labels)
    return policy.apply(images, parameters)


def can_read(policy):
    """Whether a policy makes its images from encoded pictures itself (`reads = True`)."""
    return getattr(policy, "reads", False)


@tf.autograph.experimental.do_not_convert
def read(policy, encoded, parameters, labels=None):
    """Applies a policy that reads to encoded pictures (b,), strings."""
    if getattr(policy, "needs_labels", False):
        return policy.read(encoded, parameters, labels=labels)
    return policy.read(encoded, parameters)


class Chain:
    """Several policies one after the other, each with its own draws.

    Args:
        policies: the policies, first to last.
    """

    def __init__(self, *policies):
        self.policies = policies
        self.needs_labels = _any_needs_labels(policies)
        self.reads = can_read(policies[0])

    def draw(self, seed, batch_size):
        """The draws of every policy, under `<place>.<name>`."""
        return _draw_all(self.policies, seed, batch_size)

    def apply(self, images, parameters, labels=None):
        """All transforms in order."""
        return self._rest(images, parameters, labels, 0)

    def read(self, encoded, parameters, labels=None):
        """The first policy reads, the others go on with what it gives. A flip behind a crop is done in its resize."""
        first, *others = self.policies
        if others and isinstance(first, ResizedCrop) and getattr(others[0], "only_flips", False):
            images = first.read(encoded, _under(parameters, 0), _under(parameters, 1)["flip"])
            return self._rest(images, parameters, labels, 2)
        return self._rest(read(first, encoded, _under(parameters, 0), labels), parameters, labels, 1)

    def _rest(self, images, parameters, labels, first):
        for place, policy in enumerate(self.policies[first:], first):
            images = run(policy, images, _under(parameters, place), labels)
        return images


class Choice:
    """One of several policies, chosen anew for every row.

    Args:
        policies: all giving images of one size and dtype.
        probabilities: of each, summing to 1; None: equal ones.
    """

    def __init__(self, policies, probabilities=None):
        self.policies = tuple(policies)
        probabilities = np.full(len(self.policies), 1 / len(self.policies)) if probabilities is None else probabilities
        self.bounds = np.cumsum(probabilities)[:-1].astype(np.float32)
        self.needs_labels = _any_needs_labels(self.policies)
        self.reads = all(can_read(policy) for policy in self.policies)

    def draw(self, seed, batch_size):
        """{"choice": (B,) int32} and the draws of every policy."""
        uniform = tf.random.stateless_uniform([batch_size], tf.random.experimental.stateless_fold_in(seed, -1))
        choice = tf.searchsorted(tf.constant(self.bounds), uniform, side="right")
        return {"choice": choice, **_draw_all(self.policies, seed, batch_size)}

    def apply(self, images, parameters, labels=None):
        """Each row through its policy alone."""
        return self._send(run, images, parameters, labels)

    def read(self, encoded, parameters, labels=None):
        """Each encoded picture read by its policy alone."""
        return self._send(read, encoded, parameters, labels)

    def _send(self, use, rows_in, parameters, labels):
        def branch(place, policy):
            mine = _under(parameters, place)
            return lambda images, rows: use(policy, images, {k: tf.gather(v, rows) for k, v in mine.items()},
                                            None if labels is None else tf.gather(labels, rows))
        branches = [branch(place, policy) for place, policy in enumerate(self.policies)]
        return by_row(rows_in, parameters["choice"], branches)


class Identity:
    """Leaves the images alone."""

    def draw(self, seed, batch_size):
        """Nothing to draw."""
        return {}

    def apply(self, images, parameters):
        """The images."""
        return images


def sometimes(policy, probability):
    """The policy with this probability a row, and nothing otherwise."""
    return Choice([policy, Identity()], [probability, 1 - probability])


def _any_needs_labels(policies):
    return any(getattr(policy, "needs_labels", False) for policy in policies)


def _draw_all(policies, seed, batch_size):
    return {f"{place}.{name}": column for place, policy in enumerate(policies)
            for name, column in policy.draw(tf.random.experimental.stateless_fold_in(seed, place), batch_size).items()}


def _under(parameters, place):
    start = f"{place}."
    return {name[len(start):]: column for name, column in parameters.items() if name.startswith(start)}
