"""CIFAR-10, CIFAR-100, Fashion-MNIST and any other image-classification set of TensorFlow Datasets."""

import re

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.source import Source, Split, held_out, pixel_statistics, stored_size
from cmo_tf.datasets.tfds_store import open_set, read_split

# The CIFAR-10 constants of the official code, which uses them for CIFAR-100 too.
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2023, 0.1994, 0.2010)
# Measured on the 60,000 training images.
FASHION_MEAN = (0.2860,)
FASHION_STD = (0.3530,)
# What `tfds:NAME` brings pictures to that are of varied size, or of one size above it; up to it they are kept.
IMAGE_SIZE = 64
MEMORY_LIMIT = 8 * 1024**3


def load_cifar10(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """CIFAR-10: 50,000 + 10,000 images 32x32x3 in the order of the original files (see `original_order`)."""
    return _load_cifar("cifar10", data_dir, download, image_size)


def load_cifar100(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """CIFAR-100, its 100 fine labels: 50,000 + 10,000 images 32x32x3 in the order of the original files."""
    return _load_cifar("cifar100", data_dir, download, image_size)


def load_fashion_mnist(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """Fashion-MNIST: 60,000 + 10,000 grey images 28x28x1.

    TFDS keeps no ids for it, so the order is that of its records: a fixed shuffle of the original files, the same
    on every machine.
    """
    _refuse_size("fashion_mnist", image_size, 28)
    builder = open_set("fashion_mnist", "fashion_mnist", data_dir, download)
    parts = {split: read_split(builder, split, "fashion_mnist", None, 1) for split in ("train", "test")}
    return _source("fashion_mnist", builder, parts["train"], parts["test"], (28, 28, 1), (FASHION_MEAN, FASHION_STD))


def load_any(name, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """`tfds:NAME`: any builder with an `image` (uint8) and a `label` (ClassLabel) feature, NAME or NAME/CONFIG.

    Training images are the `train` split. Test images are `test`, or `validation` where there is no test split or
    its labels are withheld (negative), or else a held-out share of each class (`test_fraction`, `seed`).
    Pictures of one fixed size up to 64 pixels stay as they are unless `image_size` says otherwise; all others are
    brought to squares for an image size of 64 by default: above 64 the squares kept are 8/7 of it, as for a
    folder, and the default augmentation is a random crop and flip, up to 64 it is pad 4, crop, flip. Grey stays
    grey, an alpha channel is dropped. Constants are measured on the training images. Sets with ids such as
    `train_00000` are brought to the order of the ids, others keep the order of the records.
    """
    dataset = f"tfds:{name}"
    builder = open_set(name, dataset, data_dir, download)
    fixed, channels = _image_feature(builder, dataset)
    size = None if fixed and image_size in (None, *fixed) else image_size or IMAGE_SIZE
    shape = (*(fixed if size is None else (size, size)), channels)
    augment = "pad4_flip" if max(shape) <= 64 else "crop_flip"
    stored = stored_size(size) if size and augment == "crop_flip" else size
    _refuse_large(builder, dataset, stored or max(shape), channels)
    train, test = _train_and_test(builder, dataset, stored, channels, seed, test_fraction)
    return _source(dataset, builder, train, test, shape, pixel_statistics(train["image"]), augment)


def _load_cifar(name: str, data_dir, download: bool, image_size) -> Source:
    _refuse_size(name, image_size, 32)
    builder = open_set(name, name, data_dir, download)
    parts = {}
    for split in ("train", "test"):
        part = read_split(builder, split, name, None, 3)
        order = original_order(part.get("id"), split)
        if order is None:
            raise UserError(f"--dataset={name}: {builder.data_dir}: the ids of the {split} split are not "
                            f"{split}_00000 .. {split}_{len(part['label']) - 1:05d}, each once; prepare the set again")
        parts[split] = _reorder(part, order)
    return _source(name, builder, parts["train"], parts["test"], (32, 32, 3), (CIFAR_MEAN, CIFAR_STD))


def original_order(ids: np.ndarray | None, split: str) -> np.ndarray | None:
    """Rows that bring shuffled records back to the order of the original files.

    TFDS stores records shuffled; the published long-tailed index selection counts in the order of the original
    files, which the `id` feature remembers (`train_00000` is the first image of data_batch_1).

    Args:
        ids: bytes (N,), or None.
        split: what stands before the underscore.

    Returns:
        int64 (N,); None if the ids are not exactly `split_0` .. `split_(N-1)`, each once.
    """
    if ids is None:
        return None
    matches = [re.fullmatch(rf"{split}_(\d+)", one.decode("utf-8", "replace")) for one in ids.tolist()]
    if not all(matches):
        return None
    numbers = np.array([int(match[1]) for match in matches], dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    return order if np.array_equal(numbers[order], np.arange(len(numbers))) else None


def _reorder(part: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {key: column[rows] for key, column in part.items()}


def _source(dataset, builder, train, test, shape, constants, augment="pad4_flip") -> Source:
    label = builder.info.features["label"]
    names = tuple(label.names or [str(number) for number in range(label.num_classes)])
    train, test = (Split(part["image"], part["label"]) for part in (train, test))
    return Source(dataset, train, test, names, shape, *constants, augment)


def _refuse_size(name: str, image_size, fixed: int) -> None:
    if image_size not in (None, fixed):
        raise UserError(f"--image_size={image_size}: {name} is {fixed}x{fixed}; leave the flag out, or use "
                        f"--dataset=tfds:{name}, which resizes")


def _image_feature(builder, dataset: str) -> tuple[tuple[int, int] | None, int]:
    """The fixed (height, width) up to 64 pixels, or None, and 1 or 3 channels; UserError if this is no such set."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    has = f"its features are {', '.join(sorted(features))}"
    image, label = (features[key] if key in features else None for key in ("image", "label"))
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"--dataset={dataset}: needs an `image` picture and a `label` class; {has}")
    if np.dtype(image.np_dtype) != np.uint8 or not label.num_classes:
        raise UserError(f"--dataset={dataset}: needs 8-bit pictures and a known number of classes; it has "
                        f"{np.dtype(image.np_dtype)} and {label.num_classes}")
    height, width, channels = image.shape
    small = height and width and max(height, width) <= 64
    return ((height, width) if small else None), (1 if channels == 1 else 3)


def _refuse_large(builder, dataset: str, side: int, channels: int) -> None:
    images = sum(builder.info.splits[split].num_examples for split in builder.info.splits
                 if split in ("train", "test", "validation"))
    needed = images * side * side * channels
    if needed > MEMORY_LIMIT:
        raise UserError(f"--dataset={dataset}: {images:,} images of {side}x{side} would take {needed / 1024**3:.0f} "
                        f"GiB of memory (limit {MEMORY_LIMIT / 1024**3:.0f}); give a smaller --image_size, or export "
                        "the pictures and use folder:DIR")


def _train_and_test(builder, dataset: str, size, channels: int, seed: int, test_fraction: float):
    splits = list(builder.info.splits)
    if "train" not in splits:
        raise UserError(f"--dataset={dataset}: has no train split; its splits are {', '.join(splits)}")
    train = _read_in_order(builder, "train", dataset, size, channels)
    for split in ("test", "validation"):
        if split in splits:
            test = _read_in_order(builder, split, dataset, size, channels)
            if len(test["label"]) and test["label"].min() >= 0:  # competitions withhold the labels of their test
                return train, test
    mask = held_out(train["label"], test_fraction, seed)
    return _reorder(train, ~mask), _reorder(train, mask)


def _read_in_order(builder, split: str, dataset: str, size, channels: int) -> dict[str, np.ndarray]:
    part = read_split(builder, split, dataset, size, channels)
    order = original_order(part.get("id"), split)
    return part if order is None else _reorder(part, order)
