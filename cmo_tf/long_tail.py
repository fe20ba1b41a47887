"""Long-tailed splits: class counts of a profile, the published index selection, shot groups, fingerprints.

numpy only. The kept images depend on the split seed and the class counts alone, never on the training seed.
"""

import hashlib

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike

PROFILES = ("exp", "step")
GROUPS = ("many", "medium", "few")


def class_counts(num_classes: int, max_count: int, imbalance_ratio: float, profile: str = "exp") -> list[int]:
    """Images of each class in a long-tailed set, class 0 being the largest.

    Args:
        num_classes: C >= 1.
        max_count: images of the largest class.
        imbalance_ratio: largest over smallest class, >= 1.
        profile: "exp", `int(max_count * (1/ratio) ** (k / (C-1)))`; or "step", where the first half of the classes
            has `max_count` images and the rest `int(max_count / ratio)`.

    Returns:
        C ints. `int` truncates a float64 product, which decides some counts: keep the order of operations.

    Source: Cui et al. (CVPR 2019) and Cao et al. (LDAM, NeurIPS 2019); the exponential profile of CIFAR-LT.

    Examples:
        >>> class_counts(10, max_count=5000, imbalance_ratio=100)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if num_classes < 1 or max_count < 1:
        raise UserError(f"a long-tailed split needs a class and an image, got {num_classes} classes of {max_count}")
    if not imbalance_ratio >= 1:
        raise UserError(f"--imbalance_ratio={imbalance_ratio}: the ratio of largest to smallest class is at least 1")
    fraction = 1.0 / imbalance_ratio
    if profile == "exp":
        last = max(num_classes - 1, 1)
        return [int(max_count * (fraction ** (k / last))) for k in range(num_classes)]
    if profile == "step":
        head = num_classes // 2
        return [int(max_count)] * head + [int(max_count * fraction)] * (num_classes - head)
    raise UserError(f"--profile={profile}: there are {', '.join(PROFILES)}")


def select_indices(labels: ArrayLike, counts: ArrayLike, seed: int = 0) -> np.ndarray:
    """Indices of a long-tailed subset in the published order: class after class, each class in its shuffled order.

    Args:
        labels: (N,) integer labels in the ORIGINAL file order of the set.
        counts: (C,) images to keep of each class.
        seed: of the legacy generator `np.random.RandomState`, whose shuffles the published splits are made of.

    Returns:
        int64 (sum(counts),). One generator shuffles the ascending indices of every class in label order, whatever
        the counts are, so that the subset of a higher ratio is contained in that of a lower one.

    Raises:
        UserError: a class has fewer images than are asked for.

    Source: the CIFAR-LT selection of LDAM-DRW and CMO.

    Examples:
        >>> labels = np.array([0, 1, 0, 1, 0, 1])
        >>> select_indices(labels, [3, 1]).tolist()
        [4, 2, 0, 5]
    """
    rng = np.random.RandomState(seed)
    kept = []
    counts = np.asarray(counts)
    for label, (indices, count) in enumerate(zip(rows_by_class(labels, len(counts)), counts, strict=True)):
        if len(indices) < count:
            raise UserError(f"class {label} has {len(indices)} images, the long-tailed split wants {count}: "
                            f"lower --max_per_class to at most what every class can give")
        rng.shuffle(indices)
        kept.append(indices[:count])
    return np.concatenate(kept).astype(np.int64) if kept else np.zeros(0, np.int64)


def rows_by_class(labels: ArrayLike, num_classes: int) -> list[np.ndarray]:
    """Ascending indices (n_k,) of each class, in O(N log N) whatever the number of classes."""
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(num_classes + 1))
    return [order[low:high] for low, high in zip(bounds[:-1], bounds[1:], strict=True)]


def count_labels(labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Images of each class, int64 (num_classes,).

    Examples:
        >>> count_labels([0, 2, 0], num_classes=4).tolist()
        [2, 0, 1, 0]
    """
    return np.bincount(np.asarray(labels, dtype=np.int64), minlength=num_classes)


def long_tailed_counts(available: ArrayLike, imbalance_ratio: float | None, profile: str = "exp",
                       max_per_class: int | None = None) -> list[int]:
    """Counts to keep of a set whose classes have `available` images.

    Without a ratio the natural imbalance stays, each class capped at `max_per_class`. With one, the profile starts
    at the largest count that its shape allows: the published `int(N / C)` for balanced sets, else the largest head
    with which no class is asked for more than it has (but at least one image a class).

    Examples:
        >>> long_tailed_counts([500, 500, 500], imbalance_ratio=100)
        [500, 50, 5]
    """
    available = [int(n) for n in np.asarray(available)]
    if imbalance_ratio is None:
        return [min(n, max_per_class) if max_per_class else n for n in available]
    def fitting(head):
        """Counts for this head, None if a class has fewer."""
        counts = class_counts(len(available), head, imbalance_ratio, profile)
        return counts if all(want <= have for want, have in zip(counts, available, strict=True)) else None

    low, high = 1, max(sum(available) // len(available), 1)
    if max_per_class:
        high = min(high, max_per_class)
    while low < high:  # counts grow with the head: halve what is between one that fits and one that does not
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fitting(middle) else (low, middle - 1)
    counts = class_counts(len(available), low, imbalance_ratio, profile)
    return [min(max(want, 1), have) for want, have in zip(counts, available, strict=True)]


def shot_groups(counts: ArrayLike, many_above: int = 100, few_below: int = 20) -> dict[str, np.ndarray]:
    """Classes of each shot group by their number of training images; a group may be empty.

    Returns:
        {"many": n > many_above, "medium": few_below <= n <= many_above, "few": n < few_below}, int64 class indices.

    Source: CMO section 4 (thresholds 100 and 20); other papers count 20 as few or 100 as many, hence the arguments.

    Examples:
        >>> {name: classes.tolist() for name, classes in shot_groups([500, 100, 20, 5]).items()}
        {'many': [0], 'medium': [1, 2], 'few': [3]}
    """
    if few_below > many_above + 1:
        raise UserError(f"--few_below={few_below} must be at most --many_above={many_above} plus 1, "
                        "or a class would be in both groups")
    counts = np.asarray(counts)
    many, few = counts > many_above, counts < few_below
    return {"many": np.flatnonzero(many), "medium": np.flatnonzero(~many & ~few), "few": np.flatnonzero(few)}


def validation_split(labels: ArrayLike, train_indices: ArrayLike, fraction: float,
                     seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Carves a class-balanced validation split, from images that the training split leaves unused where it can.

    Args:
        labels: (N,) labels of the whole training file.
        train_indices: (M,) indices of the long-tailed split.
        fraction: size of the validation split in parts of M, shared equally between the classes.
        seed: of the draw.

    Returns:
        (train_indices, validation_indices), disjoint. Classes without enough unused images give images of the
        training split (its last ones) but never more than `fraction` of them, and never their last image.

    Examples:
        >>> train, validation = validation_split(np.repeat([0, 1], 10), np.arange(20), 0.2)
        >>> len(train), len(validation)
        (16, 4)
    """
    if not 0 <= fraction < 1:
        raise UserError(f"--val_fraction={fraction} is not in [0, 1)")
    labels, train_indices = np.asarray(labels), np.asarray(train_indices)
    if fraction == 0:
        return train_indices, np.zeros(0, np.int64)
    num_classes = int(labels.max()) + 1
    quota = max(int(round(fraction * len(train_indices) / num_classes)), 1)
    unused = np.ones(len(labels), bool)
    unused[train_indices] = False
    rng = np.random.RandomState(seed + 1)
    train, validation = [], []
    places, members = rows_by_class(labels[train_indices], num_classes), rows_by_class(labels, num_classes)
    for label in range(num_classes):
        mine = train_indices[places[label]]
        spare = rng.permutation(members[label][unused[members[label]]])[:quota]
        give = min(quota - len(spare), int(fraction * len(mine)), max(len(mine) - 1, 0))
        train.append(mine[:len(mine) - give])
        validation += [spare, mine[len(mine) - give:]]
    return np.concatenate(train).astype(np.int64), np.concatenate(validation).astype(np.int64)


def fingerprint(*index_arrays: ArrayLike) -> str:
    """SHA-256 (hex) of index arrays as little-endian int64, each behind its length: one string names a split."""
    digest = hashlib.sha256()
    for indices in index_arrays:
        indices = np.ascontiguousarray(indices, dtype="<i8")
        digest.update(np.int64(len(indices)).astype("<i8").tobytes())
        digest.update(indices.tobytes())
    return digest.hexdigest()
