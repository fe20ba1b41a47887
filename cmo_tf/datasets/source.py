"""What every dataset hands on: uint8 images or paths, integer labels, names, and how the network wants to see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmo_tf.core.class_counts import check_labels
from cmo_tf.core.errors import UserError

if TYPE_CHECKING:
    from cmo_tf.datasets.record_store import RecordStore


@dataclass(frozen=True)
class Split:
    """Images and labels of one split, in the ORIGINAL order of the set.

    Attributes:
        images: uint8 (N, H, W, C) in memory, kept once; or str or bytes (N,), file paths that are decoded when read;
            or int64 (N,), row numbers in the source's `records`.
        labels: int64 (N,), in 0..C-1.
        names: str (N,), what people's own pictures are called, relative to the source's `root`; None for other sets,
            whose images are known by their rows.
    """

    images: np.ndarray
    labels: np.ndarray
    names: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_memory(self) -> bool:
        """Whether `images` holds pixels; otherwise it holds paths or row numbers."""
        return self.images.ndim == 4

    def take(self, rows) -> Split:
        """The split of some rows, by number or as a mask."""
        return Split(self.images[rows], self.labels[rows], None if self.names is None else self.names[rows])


@dataclass(frozen=True)
class Source:
    """One image-classification set, ready for a long-tailed selection.

    Attributes:
        name: as `--dataset` names it; errors name the set by it.
        train, test: the two splits. Images may be larger than `image_shape` (see `stored_shape`): augmentation
            crops them to it in training, evaluation takes the centre crop.
        class_names: C names, in label order.
        image_shape: (height, width, channels) that the network sees.
        mean, std: one float a channel, of pixels in units of [0, 1].
        augment: name of the set's default augmentation.
        records: what row numbers are numbers in; None for other images.
        published: paths are those of a published set: decoded as published pipelines do, and by augmentations at their
            own size, where those of people's own pictures are turned upright and brought to squares first.
        skipped: (path, what is wrong) of pictures that could not be read and were left out.
        notes: sentences that a run begins with as warnings.
        root: folder that `names` are relative to; None for sets without names.
        bits: what the pictures of 16 bits a channel hold (`deep.scale_of`); None where there are none.
        validation: a split for validation, where the set brings one.

    A UserError names the set, the split and the first bad row.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str
    records: RecordStore | None = None
    published: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    root: str | None = None
    bits: int | None = None
    validation: Split | None = None

    def __post_init__(self):
        check_class_names(self.class_names, f"--dataset={self.name}")
        for which in ("train", "test", "validation"):
            split = getattr(self, which)
            if split is None:
                continue
            where = f"--dataset={self.name}: {which} split"
            check_labels(split.labels, self.num_classes, where)
            check_images(split, self.image_shape, where)
        self._check_constants()

    def _check_constants(self):
        channels = self.image_shape[-1]
        for which in ("mean", "std"):
            values = np.asarray(getattr(self, which), dtype=np.float64)
            least = 0.0 if which == "mean" else np.finfo(np.float32).tiny
            if values.shape != (channels,) or not np.all(np.isfinite(values) & (values >= least)):
                raise UserError(f"--dataset={self.name}: {which} {tuple(values.tolist())} does not give one "
                                f"{'positive ' if which == 'std' else ''}number for each of {channels} channels")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def in_memory(self) -> bool:
        """Whether all splits hold pixels rather than paths or row numbers."""
        return all(split.in_memory for split in (self.train, self.test, self.validation) if split is not None)

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a training image as it is read, before the crop to `image_shape`."""
        if self.train.in_memory:
            return tuple(self.train.images.shape[1:])
        return (*(stored_size(side) for side in self.image_shape[:2]), self.image_shape[2])


def stored_size(image_size: int) -> int:
    """Side of the square that a picture is kept at when the network sees `image_size`: 8/7 of it, rounded.

    As 256 for 224 on ImageNet: the margin is what a random crop moves in.
    """
    return round(image_size * 8 / 7)


def check_class_names(names: tuple[str, ...], where: str) -> None:
    """UserError unless there are two classes or more."""
    if len(names) < 2:
        raise UserError(f"{where}: {', '.join(map(repr, names)) or 'none'} is the only class; a classifier needs two")


def check_images(split: Split, image_shape: tuple[int, int, int], where: str) -> None:
    """UserError unless images are uint8 (N, >=H, >=W, C), paths (N,) or row numbers (N,), one a label."""
    images = split.images
    if len(images) != len(split.labels):
        raise UserError(f"{where}: {len(images)} images but {len(split.labels)} labels")
    if images.ndim == 1 and images.dtype == np.int64:
        return
    if images.ndim == 1 and images.dtype.kind in "US":
        bad = np.flatnonzero(images == images.dtype.type())
        if bad.size:
            raise UserError(f"{where}: row {bad[0]} has an empty path")
        return
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(f"{where}: images are {images.dtype} of shape {images.shape}; they must be uint8 "
                        "(rows, height, width, channels) or file paths")
    height, width, channels = image_shape
    if images.shape[1] < height or images.shape[2] < width or images.shape[3] != channels:
        raise UserError(f"{where}: images of shape {images.shape[1:]} cannot give the network {image_shape}")


def held_out(labels: np.ndarray, fraction: float, seed: int = 0, keep: int = 1) -> np.ndarray:
    """A stratified test split: boolean (N,), True for the held-out images, the same for the same arguments.

    Of each class `round(n * fraction)` images are held out, at least one where it has more than `keep` images, and
    always so few that `keep` images stay in training (a class of one image goes to training only). Classes draw
    from one legacy `RandomState(seed)` in label order, so the choice depends on no library's splitter.

    Args:
        labels: int (N,).
        fraction: in (0, 1), share of each class.
    """
    if not 0 < fraction < 1:
        raise UserError(f"--test_fraction={fraction}: must be between 0 and 1")
    labels = np.asarray(labels)
    random = np.random.RandomState(seed)
    mask = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        wanted = max(1, round(len(rows) * fraction))
        mask[rows[: max(0, min(wanted, len(rows) - keep))]] = True
    return mask


def pixel_statistics(images: np.ndarray, chunk: int = 4096) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, in units of [0, 1], rounded to 4 digits.

    Exact integer histograms, so the result does not depend on the order of the images or on `chunk`; a constant
    channel gets standard deviation 1, which leaves it at zero after normalisation.

    Args:
        images: uint8 (N, H, W, C).
    """
    channels = images.shape[-1]
    histogram = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), chunk):
        part = images[start:start + chunk]
        for channel in range(channels):
            histogram[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255.0
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0.0))
    std[std < 5e-5] = 1.0
    return tuple(round(float(m), 4) for m in mean), tuple(round(float(s), 4) for s in std)
