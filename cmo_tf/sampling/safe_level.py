"""Safe-level-SMOTE on rows of numbers: new points lie nearer to the neighbour that is deeper inside the class.

Bunkhumpornpat et al., "Safe-Level-SMOTE", PAKDD 2009. The level of a row is the number of rows of its class among its K
nearest of all rows. Neighbours are of the same class, as in the paper; smote-variants takes them from all classes, and
copies another class's rows under this label. As the SMOTE here, a point has one u for all its coordinates, where the
paper draws one for each.
Cost for n rows of D numbers in the class and N in all: N n D multiplications.
"""

import numpy as np


def new_rows(flat, labels, label, wanted, neighbors, random):
    """float32 (wanted, D) rows of one class; none where no pair of its rows has a level.

    Args:
        flat: (N, D) float32.
        labels: integers (N,).
        label: the class.
        neighbors: K.
        random: numpy RandomState.
    """
    row, near, level, level_near = pairs(flat, labels, label, neighbors).T
    if len(row) == 0:
        return np.empty((0, flat.shape[1]), np.float32)
    pick = random.randint(len(row), size=wanted)
    share = gap(level[pick], level_near[pick], random.random_sample(wanted))[:, None].astype(np.float32)
    return flat[row[pick]] + share * (flat[near[pick]] - flat[row[pick]])


def pairs(flat, labels, label, neighbors) -> np.ndarray:
    """int64 (P, 4): row, one of its `neighbors` nearest of the class, and the levels of both, not both 0."""
    rows = np.flatnonzero(labels == label)
    number = min(neighbors, len(rows) - 1)
    if number < 1:
        return np.empty((0, 4), np.int64)
    nearest = _nearest(flat[rows], flat, min(neighbors, len(flat) - 1), rows)
    levels = (labels[nearest] == label).sum(axis=1)
    near = _nearest(flat[rows], flat[rows], number, np.arange(len(rows)))
    row = np.repeat(np.arange(len(rows)), number)
    found = np.stack([rows[row], rows[near.ravel()], levels[row], levels[near.ravel()]], axis=1)
    return found[(found[:, 2] > 0) | (found[:, 3] > 0)]


def gap(level, level_near, u) -> np.ndarray:
    """Share of the way from a row to its neighbour, from their levels (P,), not both 0, and u (P,) or (P, D) in [0, 1).

    With a and b the levels: 0 where b = 0, `u b / a` where a >= b, else `1 - a / b + u a / b`.
    """
    a, b = (np.asarray(x, np.float64).reshape(len(x), *[1] * (np.ndim(u) - 1)) for x in (level, level_near))
    toward_row = u * b / np.maximum(a, 1.0)
    ratio = a / np.maximum(b, 1.0)
    return np.where(a >= b, toward_row, 1.0 - ratio + u * ratio)


def _nearest(points, among, number, places):
    """int64 (n, number) places in `among` of the nearest others of each point; `places` are the points' own."""
    from sklearn.neighbors import NearestNeighbors
    found = NearestNeighbors(n_neighbors=number + 1).fit(among).kneighbors(points, return_distance=False)
    # Of equal rows any may come first: the row itself is left out wherever it stands, else the last.
    own = found == places[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(points), number)
