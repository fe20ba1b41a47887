"""Policies made of policies: one after the other (`Chain`), one of several a row (`Choice`), perhaps (`sometimes`)."""

import numpy as np
import tensorflow as tf

from cmo_tf.augment.rows import by_row


@tf.autograph.experimental.do_not_convert  # nothing in it to convert, and a third of the time to trace it
def run(policy, images, parameters, labels=None):
    """Applies a policy, with the labels (b,) of the rows if it asks for them (`needs_labels = True`)."""
    if getattr(policy, "needs_labels", False):
        return policy.apply(images, parameters, labels=labels)
    return policy.apply(images, parameters)


class Chain:
    """Several policies one after the other, each with its own draws.

    Args:
        policies: the policies, first to last.
    """

    def __init__(self, *policies):
        self.policies = policies
        self.needs_labels = _any_needs_labels(policies)

    def draw(self, seed, batch_size):
        """The draws of every policy, under `<place>.<name>`."""
        return _draw_all(self.policies, seed, batch_size)

    def apply(self, images, parameters, labels=None):
        """All transforms in order."""
        for place, policy in enumerate(self.policies):
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

    def draw(self, seed, batch_size):
        """{"choice": (B,) int32} and the draws of every policy."""
        uniform = tf.random.stateless_uniform([batch_size], tf.random.experimental.stateless_fold_in(seed, -1))
        choice = tf.searchsorted(tf.constant(self.bounds), uniform, side="right")
        return {"choice": choice, **_draw_all(self.policies, seed, batch_size)}

    def apply(self, images, parameters, labels=None):
        """Each row through its policy alone."""
        def branch(place, policy):
            mine = _under(parameters, place)
            return lambda images, rows: run(policy, images, {k: tf.gather(v, rows) for k, v in mine.items()},
                                            None if labels is None else tf.gather(labels, rows))
        branches = [branch(place, policy) for place, policy in enumerate(self.policies)]
        return by_row(images, parameters["choice"], branches)


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
