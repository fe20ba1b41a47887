"""From flags to the images of a run: the set, its long-tailed training split, validation split, groups, fingerprint."""

import functools
from dataclasses import dataclass

import numpy as np

from cmo_tf import datasets, long_tail
from cmo_tf.datasets import Split
from cmo_tf.datasets.source import stored_size


@dataclass(frozen=True)
class RunData:
    """What a run trains on. `counts` are those of the training split that losses, Q and groups are based on."""

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
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

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


def load(config) -> RunData:
    """Reads the set that a Config names and selects its splits."""
    source = datasets.load(config.dataset, data_dir=config.data_dir, download=config.download,
                           image_size=config.image_size, data_format=config.data_format,
                           bad_images=config.bad_images, max_bad=config.max_bad)
    train, validation = split_indices(source.train.labels, source.num_classes, config)
    counts = long_tail.count_labels(source.train.labels[train], source.num_classes)
    splits = {"train": _take(source.train, train), "test": source.test,
              "validation": _take(source.train, validation) if len(validation) else None}
    decode = _decode(source)
    if config.cache != "none":
        from cmo_tf.training import cache
        splits, decode = cache.keep(config.cache, splits, decode, source.image_shape[:2])
    return RunData(
        **splits, class_names=source.class_names, image_shape=tuple(source.image_shape), mean=source.mean,
        std=source.std, augment=config.augment or source.augment, base_augment=source.augment, counts=counts,
        groups=long_tail.shot_groups(counts, config.many_above, config.few_below),
        fingerprint=long_tail.fingerprint(train, validation), decode=decode, skipped=source.skipped, notes=source.notes)


def _decode(source):
    """What `decode=` of the streams is for a set; None for one in memory."""
    if source.in_memory:
        return None
    side = stored_size(source.image_shape[0])
    if source.published:
        from cmo_tf.pipeline.pictures import Pictures
        return Pictures(side, source.records)
    from cmo_tf.datasets.decode import decode_image_file
    return functools.partial(decode_image_file, stored_size=side)


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
    return Split(split.images[indices], split.labels[indices])
