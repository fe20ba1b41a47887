"""From flags to the images of a run: the set, its long-tailed training split, validation split, groups, fingerprint."""

import functools
import os
from dataclasses import dataclass

import numpy as np

from cmo_tf import datasets, long_tail
from cmo_tf.config import conflicts
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import Split
from cmo_tf.datasets.kept_split import KeptSplit, Part, rows_of
from cmo_tf.datasets.source import stored_size


@dataclass(frozen=True)
class RunData:
    """What a run trains on. `counts` are those of the training split that losses, Q and groups are based on; `kept` is
    the split as the run's folder keeps it, of pictures with names below `root`."""

    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str
    base_augment: str
    counts: np.ndarray
    groups: dict[str, np.ndarray]
    fingerprint: str
    decode: object
    meta: Split | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    kept: KeptSplit | None = None
    root: str | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that the network sees."""
        return tuple(self.image_shape[:2])

    @functools.cached_property
    def labels_fingerprint(self) -> str:
        """Fingerprint of the labels of the training and validation images, in their order."""
        return long_tail.fingerprint(self.train.labels, () if self.validation is None else self.validation.labels)


def load(config, kept: KeptSplit | None = None) -> RunData:
    """Reads the set that a Config names and selects its splits, or takes those that a run has kept."""
    source = datasets.load(config.dataset, data_dir=config.data_dir, download=config.download,
                           image_size=config.image_size, data_format=config.data_format,
                           bad_images=config.bad_images, max_bad=config.max_bad, kept=kept,
                           csv_columns=config.csv_columns)
    meta = meta_indices(source, config)
    splits, kept = _selected(source, config, meta) if kept is None else (_kept(source, kept, config), kept)
    counts = long_tail.count_labels(kept.parts["train"].labels, source.num_classes)
    decode = _decode(source)
    if config.cache != "none":
        from cmo_tf.pipeline import cache
        splits, decode = cache.keep(config.cache, splits, decode, source.image_shape[:2])
    return RunData(
        **splits, meta=_take(source.train, meta) if len(meta) else None,
        class_names=source.class_names, image_shape=tuple(source.image_shape), mean=source.mean,
        std=source.std, augment=config.augment or source.augment, base_augment=source.augment, counts=counts,
        groups=long_tail.shot_groups(counts, config.many_above, config.few_below), fingerprint=_fingerprint(kept),
        decode=decode, skipped=kept.skipped, notes=source.notes, kept=kept, root=source.root)


def _selected(source, config, meta):
    """The splits by the flags, of what `meta` leaves, and what is kept of them."""
    _check_validation(source, config)
    left = np.setdiff1d(np.arange(len(source.train)), meta)
    selected = split_indices(source.train.labels[left], source.num_classes, config)
    train, validation = (left[rows] for rows in selected)
    splits = {"train": _take(source.train, train), "test": source.test, "validation": source.validation}
    parts = {"train": _part(source.train, train)}
    if len(validation):
        splits["validation"], parts["validation"] = _take(source.train, validation), _part(source.train, validation)
    elif source.validation is not None:
        parts["validation"] = _part(source.validation, np.arange(len(source.validation)))
    parts["test"] = _part(source.test, np.arange(len(source.test)))
    unused = np.setdiff1d(np.arange(len(source.train)), np.concatenate([train, validation]))
    if source.root is not None and len(unused):
        parts["unused"] = _part(source.train, unused)
    skipped = tuple((os.path.relpath(path, source.root), line) for path, line in source.skipped)
    return splits, KeptSplit(source.class_names, parts, source.mean, source.std, source.bits, skipped)


def _check_validation(source, config):
    """A UserError where validation pictures are asked for twice, or for nothing."""
    if source.validation is not None and config.val_fraction:
        raise UserError(f"--val_fraction={config.val_fraction:g}: {source.name} brings {len(source.validation)} "
                        "validation pictures of its own; leave the flag out")
    for message in conflicts.validation(config) if source.validation is None else ():
        raise UserError(message)


def _part(split, rows):
    return Part(rows, split.labels[rows], None if split.names is None else split.names[rows])


def _kept(source, kept, config):
    """The splits that were kept."""
    if kept.named:
        return {"train": source.train, "test": source.test, "validation": source.validation}
    train, validation = rows_of(kept, source.train, source.test, source.class_names, f"--dataset={config.dataset}")
    return {"train": _take(source.train, train), "test": source.test,
            "validation": _take(source.train, validation) if len(validation) else None}


def _fingerprint(kept):
    rows = [kept.parts[name].rows if name in kept.parts else () for name in ("train", "validation")]
    return long_tail.fingerprint(*rows)


def check_same(data: RunData, run_dir: str, split: str | None, labels: str | None) -> None:
    """A UserError where the fingerprints of the split and of its labels are not those that a run wrote down; None is a
    fingerprint that an earlier version did not write."""
    # The same rows of another set, or of this one in another order, have other labels.
    for what, was, now in (("split", split, data.fingerprint), ("labels", labels, data.labels_fingerprint)):
        if was not in (now, None):
            raise UserError(f"--data_dir: the images are not those that {run_dir} was trained on (fingerprint of the "
                            f"{what} {now[:12]}, was {was[:12]}); give it the old data")


def meta_indices(source, config) -> np.ndarray:
    """Rows that `--meta_source=held_out` takes out before anything else is selected; none without it."""
    if config.meta_source != "held_out":
        return np.empty(0, np.int64)
    if source.root is not None:
        raise UserError(f"--meta_source=held_out: is for published sets, not for --dataset={config.dataset}; "
                        "leave it out")
    labels, wanted = source.train.labels, config.meta_per_class
    available = long_tail.count_labels(labels, source.num_classes)
    if (scarce := available <= wanted).any():
        label = int(np.flatnonzero(scarce)[0])
        raise UserError(f"--meta_per_class={wanted}: class {label} has {available[label]} images, which leaves none to "
                        "train on; lower it")
    # Not the shuffles of the split itself.
    return np.sort(long_tail.select_indices(labels, [wanted] * source.num_classes, (config.split_seed + 1) % 2**32))


def _decode(source):
    """What `decode=` of the streams is for a set; None for one in memory."""
    if source.in_memory:
        return None
    side = stored_size(source.image_shape[0])
    if source.published:
        from cmo_tf.pipeline.pictures import Pictures
        return Pictures(side, source.records)
    from cmo_tf.datasets.decode import decode_image_file
    return functools.partial(decode_image_file, stored_size=side, bits=source.bits)


def split_indices(labels, num_classes, config) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation) indices over the original order. A set that keeps its natural imbalance and is not
    capped is taken whole, in file order; otherwise the published selection decides."""
    if config.imbalance_ratio is None and config.max_per_class is None:
        train = np.arange(len(labels))
    else:
        available = long_tail.count_labels(labels, num_classes)
        counts = long_tail.long_tailed_counts(available, config.imbalance_ratio, config.profile, config.max_per_class)
        train = long_tail.select_indices(labels, counts, config.split_seed)
    return long_tail.validation_split(labels, train, config.val_fraction, config.split_seed)


def _take(split, indices):
    if len(indices) == len(split) and np.array_equal(indices, np.arange(len(split))):
        return split
    return split.take(indices)
