"""Random undersampling (`--sampler=undersample`), the draws those of imbalanced-learn. numpy only until it draws."""

import numpy as np


class Undersample:
    """As many images of each class as the smallest has, drawn once a run without replacement; an epoch keeps its N
    images and goes through them again and again, each time in another order.

    Called with (labels, counts, random, progress) as every sampler is.

    Args:
        seed: of the run; the same seed draws the same images.
        cap: images of a class, at most, in place of those of the smallest.
        redraw: draw anew each epoch.

    Source: `RandomUnderSampler` of imbalanced-learn. With a cap it is given a number for every class, so that classes
    at or under the cap are taken whole in another order.
    """

    def __init__(self, seed: int, cap: int | None = None, redraw: bool = False):
        self.seed, self.cap, self.redraw = seed, cap, redraw

    def __call__(self, labels, counts, random, progress):
        subset = undersample(labels, random if self.redraw else np.random.RandomState(self.seed), self.cap)
        rounds = -(-len(labels) // len(subset))
        return np.concatenate([random.permutation(subset) for _ in range(rounds)])[:len(labels)]


def undersample(labels, random, cap: int | None = None) -> np.ndarray:
    """Rows that are kept, int64, class after class in the order drawn.

    Args:
        labels: integers (N,).
        random: numpy RandomState.
        cap: rows of a class, at most; None: as many as the smallest class that has any.
    """
    from imblearn.under_sampling import RandomUnderSampler
    labels = np.asarray(labels, np.int64)
    held, number = np.unique(labels, return_counts=True)
    if len(held) == 1:  # imbalanced-learn wants two classes
        return random.permutation(len(labels))[:cap].astype(np.int64)
    wanted = "auto" if cap is None else {int(k): min(int(n), cap) for k, n in zip(held, number, strict=True)}
    sampler = RandomUnderSampler(sampling_strategy=wanted, random_state=random)
    sampler.fit_resample(np.zeros((len(labels), 1)), labels)
    return sampler.sample_indices_.astype(np.int64)
