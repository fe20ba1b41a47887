"""A set looked at: its pictures, splits, counts, duplicates and problems, whatever kind of set it is."""

import os
from dataclasses import dataclass, field

import numpy as np

from cmo_tf import datasets, long_tail
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep, table
from cmo_tf.datasets.source import held_out
from cmo_tf.inspection import duplicates, layout, survey
from cmo_tf.inspection.survey import Picture
from cmo_tf.run.data import split_indices


@dataclass
class Findings:
    """What there is to report.

    Attributes:
        names: classes in label order. counts, tested: (C,) training and test images that can be read.
        pictures, labels, parts: one entry a picture, `labels` and the split ("train", "test") it falls to; empty where
            only labels were looked at.
        where: names of the pictures, paths or "train row 3".
        bad, odd, ignored: (path, reason) of pictures that cannot be read, of harmless oddities, of what is not read.
        stoppers: why it cannot be trained on yet.
        scale: what its pictures of 16 bits a channel hold; None where there are none.
        image_shape: of a set whose images come in one size, else None.
        reading: seconds that reading a picture takes on all cores together.
    """

    names: tuple[str, ...]
    counts: np.ndarray
    tested: np.ndarray
    pictures: list[Picture] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    stoppers: list[str] = field(default_factory=list)
    hidden: int = 0
    image_shape: tuple | None = None
    reading: float = 0.0
    scale: deep.Scale | None = None

    def __post_init__(self):
        self.groups = duplicates.find(self.pictures, self.labels, self.parts)
        rows = list(zip(self.where, self.pictures, strict=True))
        self.bad = [(path, picture.error) for path, picture in rows if picture.error]
        self.odd = [(path, picture.note) for path, picture in rows if picture.note]

    @property
    def readable(self) -> list[Picture]:
        """The pictures that can be read."""
        return [picture for picture in self.pictures if not picture.error]

    @property
    def ratio(self) -> float:
        """Largest over smallest class."""
        return float(self.counts.max() / max(self.counts.min(), 1)) if self.counts.size else 1.0


def look(config) -> Findings:
    """Looks at the set of a Config; each picture is read at most once."""
    if config.dataset.partition(":")[0] in datasets.OWN:
        return _own(config)
    source = datasets.load(config.dataset, data_dir=config.data_dir, download=config.download,
                           image_size=config.image_size, data_format=config.data_format)
    train, validation = split_indices(source.train.labels, source.num_classes, config)
    train = np.concatenate([train, validation])
    splits = [("train", source.train, train), ("test", source.test, np.arange(len(source.test)))]
    pictures, labels, parts, where = [], [], [], []
    reading = 0.0
    for part, split, rows in splits:
        found = None
        if split.in_memory:
            found = survey.arrays(split.images[rows])
        elif split.images.dtype.kind in "US":
            found, reading = survey.files([os.fsdecode(path) for path in split.images[rows]], config.dataset)
        if found is not None:
            pictures += found
            labels += split.labels[rows].tolist()
            parts += [part] * len(rows)
            where += [f"{part} row {row}" if split.in_memory else os.fsdecode(split.images[row]) for row in rows]
    counts, tested = (long_tail.count_labels(values, source.num_classes)
                      for values in (source.train.labels[train], source.test.labels))
    shape = tuple(source.image_shape) if source.in_memory else None
    return Findings(source.class_names, counts, tested, pictures, labels, parts, where, image_shape=shape,
                    reading=reading)


def _own(config):
    """Findings of people's own pictures, a folder of them or a table."""
    kind, _, place = config.dataset.partition(":")
    path = os.path.expanduser(place)
    if kind == "csv":
        found = layout.of_listing(table.find(path, f"--dataset={config.dataset}", config.csv_columns))
    elif os.path.isdir(path):
        found = layout.look(path)
    else:
        raise UserError(f"--dataset={config.dataset}: no such folder")
    scale = deep.scale_of(found.paths)
    pictures, reading = survey.files(found.paths, config.dataset, scale and scale.bits)
    good = np.array([not picture.error for picture in pictures], bool)
    labels = np.array(found.labels, np.int64)
    parts = np.array(found.parts, dtype=object)
    if good.any() and "" in found.parts:  # as the load leaves out bad pictures first, then draws
        parts[good] = np.where(held_out(labels[good], 0.2, 0), "test", "train")
    count = len(found.names)
    for label in set(labels.tolist()) - set(labels[good & (parts != "test")].tolist()):
        found.stoppers.append(f"no training picture of class {found.names[label]!r} can be read; mend one or remove "
                              "its folder")
    counts, tested = (long_tail.count_labels(labels[good & (parts == part)], count) for part in ("train", "test"))
    if count and not found.stoppers:
        train = np.flatnonzero(good & (parts == "train"))
        chosen = np.concatenate(split_indices(labels[train], count, config))
        counts = long_tail.count_labels(labels[train][chosen], count)
    return Findings(found.names, counts, tested, pictures, found.labels, list(parts), found.paths, found.ignored,
                    found.stoppers, found.hidden, None, reading, scale)
