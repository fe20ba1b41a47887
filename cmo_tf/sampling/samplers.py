"""Samplers (`--sampler`): which N training images make up an epoch, and in what order. numpy only.

A sampler is a function (labels, counts, random, progress) -> int64 (N,) indices, with `random` a legacy generator that
follows from (seed, epoch) and `progress` the share of the run that is over. "instance" is P itself, a permutation. One
that is a class is made for the run first, from its seed and options.
"""

import numpy as np

from cmo_tf.core.class_counts import effective_number
from cmo_tf.core.registry import Registry
from cmo_tf.sampling.distribution import class_distribution, class_table

SAMPLERS = Registry("sampler", {
    "instance": "cmo_tf.sampling.samplers:instance",
    "class_balanced": "cmo_tf.sampling.samplers:class_balanced",
    "effective": "cmo_tf.sampling.samplers:effective",
    "square_root": "cmo_tf.sampling.samplers:square_root",
    "class_aware": "cmo_tf.sampling.samplers:class_aware",
    "class_turns": "cmo_tf.sampling.samplers:class_turns",
    "progressive": "cmo_tf.sampling.samplers:progressive",
    "balanced_buckets": "cmo_tf.sampling.samplers:balanced_buckets",
    "undersample": "cmo_tf.sampling.undersampling:Undersample",
}, flag="sampler")

# Samplers whose classes are equally frequent: what is trained on them expects them so.
BALANCED = frozenset({"class_balanced", "class_aware", "class_turns", "undersample"})
# Samplers that change with the share of the run that is over, so that an epoch of a longer run has other images.
FOLLOWING = frozenset({"progressive"})
UNDERSAMPLE = "undersample"
IMAGES_IN_A_ROW = 4


def instance(labels, counts, random, progress):
    """A permutation of all images."""
    return random.permutation(len(labels))


def class_balanced(labels, counts, random, progress):
    """ROS: a uniform class, then a uniform image of it, with replacement; an epoch keeps its N images."""
    return _draw(labels, class_distribution(counts), random)


def effective(labels, counts, random, progress):
    """Each image weighs 1 / E(n), beta 0.9999, with replacement (the `Resample` rule of LDAM-DRW, which its own script
    never puts to work)."""
    held = np.asarray(counts) > 0
    weight = np.divide(counts, effective_number(counts), out=np.zeros(len(counts)), where=held)
    return _draw(labels, weight / weight.sum(), random)


def square_root(labels, counts, random, progress):
    """A class with probability proportional to sqrt(n), with replacement (Kang et al., ICLR 2020, q = 1/2)."""
    return _draw(labels, class_distribution(counts, power=0.5), random)


def progressive(labels, counts, random, progress):
    """From instance to class-balanced: `(1 - t) * n / N + t / C`, t the share of the run (Kang et al., ICLR 2020)."""
    share = np.asarray(counts, np.float64) / np.sum(counts)
    return _draw(labels, (1.0 - progress) * share + progress * class_distribution(counts), random)


def class_aware(labels, counts, random, progress):
    """Cycles through a shuffled class list and takes four images in a row of each class from its own shuffled cycle.

    Source: ClassAwareSampler of Decoupling (Kang et al., ICLR 2020). The cycles begin anew each epoch, which keeps a
    batch a function of (seed, step); the original's run on.
    """
    return _class_turns(labels, counts, random, IMAGES_IN_A_ROW)


def class_turns(labels, counts, random, progress):
    """As `class_aware`, with one image of a class in turn: the meta batches of BALMS (Ren et al., NeurIPS 2020)."""
    return _class_turns(labels, counts, random, 1)


def _class_turns(labels, counts, random, in_a_row):
    table, total = class_table(labels, class_distribution(counts)), len(labels)
    classes = np.flatnonzero(counts)
    turns = -(-total // in_a_row)
    cycles = [random.permutation(classes) for _ in range(-(-turns // len(classes)))]
    turn = np.concatenate(cycles)[:turns]
    picked = np.empty((turns, in_a_row), np.int64)
    for label in classes:
        mine = np.flatnonzero(turn == label)
        offsets = _cycle(len(mine) * in_a_row, int(table.size[label]), random).reshape(-1, in_a_row)
        picked[mine] = table.order[table.start[label] + offsets]
    return picked.reshape(-1)[:total]


def balanced_buckets(labels, counts, random, progress):
    """A uniform class each time, then the next image of its own shuffled cycle; an epoch keeps its N images.

    Source: BalancedSampler of RIDE's code (Wang et al., ICLR 2021). The cycles begin anew each epoch; the original's
    run on.
    """
    table, total = class_table(labels, class_distribution(counts)), len(labels)
    turn = np.searchsorted(table.cumulative, random.random_sample(total), side="right")
    picked = np.empty(total, np.int64)
    for label in np.flatnonzero(counts):
        mine = np.flatnonzero(turn == label)
        picked[mine] = table.order[table.start[label] + _cycle(len(mine), int(table.size[label]), random)]
    return picked


def _cycle(wanted, held, random):
    """`wanted` places in a bucket of `held` images: one shuffle of it after another."""
    rounds = [random.permutation(held) for _ in range(-(-wanted // held))] or [np.zeros(0, np.int64)]
    return np.concatenate(rounds)[:wanted]


def _draw(labels, distribution, random):
    """N images drawn with replacement: a class from `distribution`, then a uniform image of it."""
    table, total = class_table(labels, distribution), len(labels)
    label = np.searchsorted(table.cumulative, random.random_sample(total), side="right")
    offset = (random.random_sample(total) * table.size[label]).astype(np.int64)
    return table.order[table.start[label] + np.minimum(offset, table.size[label] - 1)]


def epoch_order(name: str, labels, counts, seed: int, epochs: int | None, **options):
    """Function epoch -> int64 (N,) of a registered sampler, a pure function of (seed, epoch). `options` are those of a
    sampler that is a class."""
    sampler = SAMPLERS[name]
    if isinstance(sampler, type):
        sampler = sampler(seed, **options)

    def order(epoch):
        words = np.random.SeedSequence([seed % 2**64, int(epoch)]).generate_state(4, np.uint32)
        return sampler(labels, counts, np.random.RandomState(words), share_of_run(int(epoch), epochs)).astype(np.int64)
    return order


def share_of_run(epoch: int, epochs: int | None) -> float:
    """Share of a run of `epochs` that is over in an epoch: 0 in the first, 1 in the last; 0 without an end."""
    return min(epoch / (epochs - 1), 1.0) if epochs and epochs > 1 else 0.0
