"""The split of a run as it was trained on: which picture is for training, validation or testing, under which class.

What comes after training goes by it, however the folder of the pictures has changed since.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import own_pictures
from cmo_tf.datasets.kinds import is_picture, visible
from cmo_tf.datasets.own_pictures import PARTS, Listing
from cmo_tf.datasets.source import Source, Split

SHOWN = 3
# Of larger files the first, middle and last block are hashed, with the size.
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Part:
    """Pictures of one part of a split, in the order of training or testing.

    Attributes:
        rows: int64 (N,), places in the set's own order.
        labels: int64 (N,).
        names: str (N,), relative to the set's root; None for sets whose pictures are known by their rows.
        marks: str (N,), what `mark` gave for each; None where there are no names.
    """

    rows: np.ndarray
    labels: np.ndarray
    names: np.ndarray | None = None
    marks: np.ndarray | None = None

    def fingerprint(self) -> str:
        """SHA-256 of the pictures, their contents and labels, in order."""
        digest = hashlib.sha256()
        for column in (self.rows, self.labels) if self.names is None else (self.names, self.marks, self.labels):
            digest.update("\n".join(map(str, column.tolist())).encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()


@dataclass(frozen=True)
class KeptSplit:
    """Parts by name (those of PARTS that there are, and "unused" pictures of named sets), class names in label order.

    Attributes:
        skipped: (name, what is wrong) of pictures that could not be read.
        mean, std: of the training pictures, which new pictures must not change.
        bits: what pictures of 16 bits a channel hold; None where there are none.
        whole: whether every picture must be there, as for training; otherwise those of the test set that are there do.
    """

    class_names: tuple[str, ...]
    parts: dict[str, Part]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bits: int | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    whole: bool = field(default=True, compare=False)

    @property
    def named(self) -> bool:
        """Whether pictures are known by name."""
        return self.parts["train"].names is not None


def mark(path: str) -> str:
    """What tells a file's content: its size and a hash of it, of large files of three blocks; "" if it cannot be
    read."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=8)
            for start in (0,) if size <= 4 * BLOCK else (0, size // 2, size - BLOCK):
                file.seek(start)
                digest.update(file.read(4 * BLOCK if size <= 4 * BLOCK else BLOCK))
    except OSError:
        return ""
    return f"{size}-{digest.hexdigest()}"


def marks(root: str, names) -> np.ndarray:
    """`mark` of many files, str (N,)."""
    with ThreadPoolExecutor(16) as pool:
        return np.array(list(pool.map(lambda name: mark(os.path.join(root, name)), names)), dtype=str)


def listing(kept: KeptSplit, root: str, where: str, present=None) -> Listing:
    """The pictures of a kept split below `root`, where they are as they were.

    Args:
        present: names of the pictures that are there now; None: what lies below `root`.

    Raises:
        UserError: a picture that is needed is missing or changed, or none of the test set is left.
    """
    splits, notes = {}, []
    for name in [part for part in PARTS if part in kept.parts]:
        part = kept.parts[name]
        if kept.whole or name == "test":
            part = _as_it_was(part, name, kept.whole, root, where, notes)
        paths = np.array([os.path.join(root, picture) for picture in part.names.tolist()])
        splits[name] = Split(paths, part.labels, part.names)
    new = len(set(names_below(root) if present is None else present) - _known(kept))
    if new:
        notes.append(f"pictures that are new since the run was trained, and are left alone: {new}")
    return Listing(root, kept.class_names, **splits, notes=tuple(notes))


def read(kept: KeptSplit, listed: Listing, name: str, image_size: int, memory_limit: int) -> Source:
    """The Source of what `listing` gave: of a split that need not be whole the test pictures alone are read."""
    return own_pictures.read(listed, name, image_size=image_size, memory_limit=memory_limit,
                             constants=(kept.mean, kept.std, kept.bits), pixels=PARTS if kept.whole else ("test",))


def _as_it_was(part, name, whole, root, where, notes):
    """The part without what is missing or changed, which `notes` names; an error where it must be whole."""
    now = marks(root, part.names.tolist())
    bad = np.flatnonzero(now != part.marks)
    if not bad.size:
        return part
    shown = ", ".join(f"{part.names[row]} ({'changed' if now[row] else 'missing'})" for row in bad[:SHOWN])
    shown += f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    what = f"{len(bad)} of {len(part.names)} {name} pictures are missing or changed since the run was trained: {shown}"
    if whole or len(bad) == len(part.names):
        raise UserError(f"{where}: {what}; put them back as they were (split.csv of the run lists all), or train anew "
                        "into another --run_dir")
    notes.append(f"{what}; they are left out, so figures are not those of the run's test set")
    good = np.flatnonzero(now == part.marks)
    return Part(part.rows[good], part.labels[good], part.names[good], part.marks[good])


def _known(kept):
    return {name for part in kept.parts.values() for name in part.names.tolist()} | \
        {name for name, _ in kept.skipped}


def names_below(root: str):
    """Names of the picture files anywhere below a folder; links to folders are not followed further than once."""
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [] if real in seen else [name for name in below if visible(name)]
        if real not in seen:
            paths = (os.path.join(folder, name) for name in files if visible(name))
            yield from (os.path.relpath(path, root) for path in paths if is_picture(path))
        seen.add(real)


def rows_of(kept: KeptSplit, train: Split, test: Split, class_names, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation) rows of a set without names; a UserError where the set is not the one that was kept."""
    empty = np.zeros(0, np.int64)
    pairs = [(train, kept.parts["train"]), (test, kept.parts["test"])]
    pairs += [(train, kept.parts["validation"])] if "validation" in kept.parts else []
    for split, part in pairs:
        inside = part.rows.max(initial=-1) < len(split)
        if not inside or not np.array_equal(split.labels[part.rows], part.labels) or kept.named:
            raise UserError(f"{where}: the images are not those that the run was trained on (other labels than its "
                            "split.csv says); give it the old data, --data_dir")
    if len(test) != len(kept.parts["test"].rows) or tuple(class_names) != kept.class_names:
        raise UserError(f"{where}: the test images or classes are not those of the run (its split.csv has "
                        f"{len(kept.parts['test'].rows)} test images of {len(kept.class_names)} classes); give it the "
                        "old data, --data_dir")
    return kept.parts["train"].rows, kept.parts["validation"].rows if "validation" in kept.parts else empty
