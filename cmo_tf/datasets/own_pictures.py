"""People's own picture files, listed by `folder` or a run's `split.csv`, read into a Source."""

from dataclasses import dataclass, replace

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep, folder_notes
from cmo_tf.datasets.bad_images import MAX_BAD, BadImages
from cmo_tf.datasets.decode import each_image, read_images
from cmo_tf.datasets.source import Source, Split, check_class_names, held_out, pixel_statistics, stored_size

IMAGE_SIZE = 64
MEMORY_LIMIT = 2 * 1024**3
# Mean and std of a set that is too large for memory come from this many pictures, spread evenly over it.
SAMPLE = 10_000
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Listing:
    """The pictures of a set before one is read.

    Attributes:
        root: folder that the names of the splits are relative to.
        class_names: in label order.
        train, validation, test: Splits of paths with names. Without `test` a share of `train` is held out.
        notes: sentences that a run begins with as warnings.
    """

    root: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None = None
    validation: Split | None = None
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, Split]:
        """Name -> Split of the parts there are, in the order of PARTS."""
        return {part: getattr(self, part) for part in PARTS if getattr(self, part) is not None}


def read(listing: Listing, name: str, *, image_size=None, seed=0, test_fraction=0.2, memory_limit=MEMORY_LIMIT,
         bad_images="error", max_bad=MAX_BAD, constants=None, pixels=PARTS) -> Source:
    """The Source of listed pictures. Every picture becomes RGB, its shorter side R = 8/7 of the image size, and is
    cropped to the central R x R (see `decode.read_image`).

    The squares are kept in memory as uint8; if those of the whole set would take more than `memory_limit` bytes,
    `images` keeps the paths, to be decoded by `decode.decode_image_file(path, source.stored_shape[0])`, which gives the
    same pixels with `source.bits`. Arguments and errors are those of `folder.load`, and:

    Args:
        name: what `--dataset` names the set by.
        constants: (mean, std, bits of deep pictures), where they are not to be taken from the pictures.
        pixels: the parts that are read; of others `images` are paths.
    """
    image_size = image_size or IMAGE_SIZE
    where = f"--dataset={name}"
    check_class_names(listing.class_names, where)
    size = stored_size(image_size)
    paths = np.concatenate([split.images for part, split in listing.parts().items() if part in pixels])
    images = None
    fits = len(paths) * size * size * 3 <= memory_limit
    bad = BadImages(where, len(paths), bad_images, max_bad)
    scale = None if constants else deep.scale_of(paths)
    bits = constants[2] if constants else scale and scale.bits
    if fits:
        images = read_images(paths, size, where, bad, bits)
    elif bad_images == "skip":
        for _ in each_image(paths, size, where, bad, bits):
            pass
    skipped = {str(paths[row]): str(error).removeprefix(f"{where}: ") for row, error in sorted(bad.found.items())}
    splits = _splits(_without(listing, skipped, where), where, seed, test_fraction)
    copies = folder_notes.equal_files(splits["train"].images, splits["test"].images) if pixels == PARTS else None
    if fits:
        splits |= _with_pixels({part: splits[part] for part in splits if part in pixels}, paths, images)
    train = splits["train"].images
    mean, std = constants[:2] if constants else pixel_statistics(train if fits else _sample(train, size, where, bits))
    return Source(name, class_names=listing.class_names, image_shape=(image_size, image_size, 3), mean=mean, std=std,
                  augment="crop_flip", skipped=tuple(skipped.items()), root=listing.root,
                  bits=bits, notes=(*listing.notes, *map(str, filter(None, [scale, copies]))), **splits)


def _splits(listing: Listing, where: str, seed: int, test_fraction: float) -> dict[str, Split]:
    """The splits there are; without a test split a share of each class of `train` is held out."""
    if listing.test is not None:
        return listing.parts()
    mask = held_out(listing.train.labels, test_fraction, seed)
    if not mask.any():
        raise UserError(f"{where}: no class has a second picture, so none can be held out for testing; "
                        "add pictures or make train and test folders")
    return {**listing.parts(), "train": listing.train.take(~mask), "test": listing.train.take(mask)}


def _without(listing: Listing, skipped: dict[str, str], where: str) -> Listing:
    """The listing without the paths left out; a class must keep a picture of each split that it is in."""
    left = {}
    for part, split in listing.parts().items() if skipped else ():
        left[part] = split.take(np.array([str(path) not in skipped for path in split.images]))
        empty = np.setdiff1d(split.labels, left[part].labels)
        if empty.size:
            raise UserError(f"{where}: no picture of class {listing.class_names[empty[0]]!r} can be read; mend one or "
                            "remove its folder")
    return replace(listing, **left)


def _with_pixels(splits: dict[str, Split], paths: np.ndarray, images: np.ndarray) -> dict[str, Split]:
    """The splits with the pixels of their paths; without a copy where they are the paths, one split after another."""
    if np.array_equal(np.concatenate([split.images for split in splits.values()]), paths):
        ends = np.cumsum([len(split) for split in splits.values()])[:-1]
        pixels = dict(zip(splits, np.split(images, ends), strict=True))
    else:
        place = {path: row for row, path in enumerate(paths)}
        pixels = {part: images[[place[path] for path in split.images]] for part, split in splits.items()}
    return {part: Split(pixels[part], split.labels, split.names) for part, split in splits.items()}


def _sample(paths: np.ndarray, size: int, where: str, bits: int | None) -> np.ndarray:
    rows = np.unique(np.linspace(0, len(paths) - 1, SAMPLE).astype(np.int64))
    return read_images(paths[rows], size, where, bits=bits)
