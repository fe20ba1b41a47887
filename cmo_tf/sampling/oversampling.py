"""SMOTE and its forms on rows of numbers, one class after another; SMOTE and Borderline-SMOTE through imbalanced-learn.

Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 2002. Han et al., "Borderline-SMOTE", ICIC
2005. Safe-level-SMOTE is in `safe_level`.
Cost for n_c rows of D numbers in class c and N in all: n_c^2 D multiplications a class for SMOTE, N n_c D for the
borderline and safe-level forms.
"""

import numpy as np

from cmo_tf.sampling import safe_level

KINDS = ("smote", "borderline-1", "borderline-2", "safe-level")


def oversample(points, labels, kind="smote", neighbors=5, context=10, seed=0):
    """Rows that, together with the given ones, make all classes as large as the largest.

    Args:
        points: (N, ...) of any numeric dtype; rows are compared as flat float32.
        labels: integers (N,).
        kind: "smote": `x + u (x' - x)`, x any row of the class, x' one of its `neighbors` nearest of the class, u
            uniform. "borderline-1": x only of those in danger, half or more but not all of whose `context` nearest
            rows are of other classes. "borderline-2": x' of any class, u below 0.5 for one of another. "safe-level":
            nearer to the one of the two that has more of its class around it.
        neighbors: n - 1 in a class of n rows, if that is less.
        seed: int; draws follow from it, class after class in label order.

    Returns:
        (points (M, ...) of the dtype given, whole numbers rounded; labels (M,) int64; repeated). `repeated` lists the
        classes that have no row to begin with, a lone image or none in danger: their rows are repeated in turn.
    """
    labels = np.asarray(labels, np.int64)
    counts = np.bincount(labels)
    small = [int(k) for k in np.flatnonzero((counts > 0) & (counts < counts.max()))]
    wanted = [int(counts.max() - counts[k]) for k in small]
    made, repeated, at = np.empty((sum(wanted), *points.shape[1:]), points.dtype), [], 0
    random = np.random.RandomState(seed)
    for label, number in zip(small, wanted, strict=True):
        new = _new_rows(points, labels, label, counts, kind, neighbors, context, random)
        if len(new) == 0:
            repeated.append(label)
            new = points[np.resize(np.flatnonzero(labels == label), number)]
        elif np.issubdtype(made.dtype, np.integer):
            new = np.rint(new)
        made[at:at + number] = new.reshape(made[at:at + number].shape)
        at += number
    return made, np.repeat(np.asarray(small, np.int64), wanted), repeated


def _new_rows(points, labels, label, counts, kind, neighbors, context, random):
    """float32 rows of one class; none where it has none to begin with."""
    from imblearn.over_sampling import SMOTE, BorderlineSMOTE
    if counts[label] < 2:
        return np.empty(0, np.float32)
    if kind == "safe-level":
        flat = points.reshape(len(points), -1).astype(np.float32)
        return safe_level.new_rows(flat, labels, label, int(counts.max() - counts[label]), neighbors, random)
    if kind == "smote":  # two classes are the fewest that imbalanced-learn takes; the largest says how many are wanted
        rows = np.flatnonzero((labels == label) | (labels == counts.argmax()))
    else:
        rows = np.arange(len(labels))
    flat = points[rows].reshape(len(rows), -1).astype(np.float32)
    options = {"sampling_strategy": {label: int(counts.max())}, "random_state": random,
               "k_neighbors": min(neighbors, (len(rows) if kind == "borderline-2" else int(counts[label])) - 1)}
    if kind == "smote":
        sampler = SMOTE(**options)
    else:
        sampler = BorderlineSMOTE(kind=kind, m_neighbors=min(context, len(rows) - 1), **options)
    return sampler.fit_resample(flat, labels[rows])[0][len(rows):]
