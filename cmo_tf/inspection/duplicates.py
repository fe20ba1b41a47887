"""Equal and nearly equal pictures: groups by content hash, and by perceptual hash up to a few bits."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

# Bits of 128 that may differ: on 175 crops of photographs, copies at half the size or at JPEG quality 40 stay within it
# in 86 % of cases, and none of 15,225 pairs of different crops does.
NEAR = 11
# Only pictures that agree in a band of bits are compared: with 16 bands of 8 bits all pairs up to 15 bits apart are
# found. Large sets have 8 of 16 bits, which find all up to 7 bits and most of the others.
LARGE = 20_000
CROWD = 2000  # more pictures with an equal band are scenes of one kind (skies, pages), not copies: not compared


@dataclass(frozen=True)
class Group:
    """Rows of pictures that are equal (`exact`) or nearly so. `across` train and test, or with several `labels`."""

    rows: tuple[int, ...]
    exact: bool
    across: bool
    labels: int

    @property
    def what(self) -> str:
        """The kind of group in words, what harms most first."""
        kind = "equal" if self.exact else "nearly equal"
        where = "in train and test" if self.across else "within one split"
        return f"{kind}, {where}" + (f", under {self.labels} classes" if self.labels > 1 else "")


def find(pictures, labels, parts) -> list[Group]:
    """All groups, those across train and test first, then those of several classes, exact before near."""
    by_digest = defaultdict(list)
    for row, picture in enumerate(pictures):
        if not picture.error:
            by_digest[picture.digest].append(row)
    exact = [rows for rows in by_digest.values() if len(rows) > 1]
    firsts = [rows[0] for rows in by_digest.values() if pictures[rows[0]].marks is not None]
    near = []
    for group in _connected(_near_pairs(np.array([pictures[row].marks for row in firsts], np.uint8).reshape(-1, 16))):
        near.append(sorted(row for k in group for row in by_digest[pictures[firsts[k]].digest]))
    seen = {row for rows in near for row in rows}
    groups = [_group(rows, False, labels, parts) for rows in near]
    groups += [_group(rows, True, labels, parts) for rows in exact if rows[0] not in seen]
    return sorted(groups, key=lambda g: (not g.across, g.labels == 1, not g.exact, g.rows))


def _group(rows, exact, labels, parts):
    return Group(tuple(rows), exact, len({parts[row] for row in rows}) > 1, len({labels[row] for row in rows}))


def _near_pairs(marks):
    """(a, b) of hashes, uint8 (N, 16), that differ in at most NEAR bits."""
    pairs = set()
    bands = marks if len(marks) <= LARGE else marks.view(np.uint16)
    for band in range(bands.shape[1]):
        order = np.argsort(bands[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(bands[order, band].astype(int))) + 1
        for rows in np.split(order, edges):
            if 1 < len(rows) <= CROWD:
                distance = np.bitwise_count(marks[rows][:, None] ^ marks[rows][None]).sum(axis=-1)
                first, second = np.nonzero(np.triu(distance <= NEAR, k=1))
                pairs.update((int(rows[a]), int(rows[b])) for a, b in zip(first, second, strict=True))
    return pairs


def _connected(pairs):
    """The groups that pairs make, each a list of rows."""
    root: dict[int, int] = {}

    def top(row):
        while root.setdefault(row, row) != row:
            row = root[row]
        return row

    for first, second in sorted(pairs):
        root[max(top(first), top(second))] = min(top(first), top(second))
    groups = defaultdict(list)
    for row in root:
        groups[top(row)].append(row)
    return list(groups.values())
