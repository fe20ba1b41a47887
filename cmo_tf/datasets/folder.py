"""`folder:DIR`: people's own pictures, one folder a class."""

import os

import numpy as np

from cmo_tf.datasets.decode import read_images
from cmo_tf.datasets.source import Source, Split, held_out, pixel_statistics, stored_size
from cmo_tf.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_SIZE = 64
MEMORY_LIMIT = 2 * 1024**3
# Mean and std of a set that is too large for memory come from this many pictures, spread evenly over it.
SAMPLE = 10_000


def load(directory, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
         memory_limit=MEMORY_LIMIT) -> Source:
    """Reads DIR/train/<class>/* and DIR/test/<class>/*, or DIR/<class>/* with a held-out share of each class.

    Classes are the sorted folder names, images the sorted JPEG and PNG files straight inside them (suffix in any
    case); hidden files and folders are skipped. Every picture becomes RGB, its shorter side R = 8/7 of the image
    size, and is cropped to the central R x R (see `decode.read_image`). The squares are kept in memory as uint8; if
    those of the whole set would take more than `memory_limit` bytes, `images` keeps the paths, to be decoded by
    `decode.decode_image_file(path, source.stored_shape[0])`, which gives the same pixels.

    Args:
        directory: DIR, `~` allowed.
        image_size: side that the network sees; 64 by default.
        seed, test_fraction: of the held-out share, where there is no test folder. At least one image of each class
            stays in training, so a class of a single image is not tested.
        data_dir, download: nothing to act on here.

    Raises:
        UserError: names the folder without pictures, the classes in which train and test differ, the picture that
            cannot be read.
    """
    image_size = image_size or IMAGE_SIZE
    name = f"folder:{directory}"
    where = f"--dataset={name}"
    root = os.path.expanduser(str(directory))
    if not os.path.isdir(root):
        raise UserError(f"{where}: no such folder")
    class_names, train, test = _find(root, where, seed, test_fraction)
    size = stored_size(image_size)
    fits = (len(train) + len(test)) * size * size * 3 <= memory_limit
    if fits:
        train, test = (Split(read_images(part.images, size, where), part.labels) for part in (train, test))
    mean, std = pixel_statistics(train.images if fits else _sample(train.images, size, where))
    return Source(name, train, test, class_names, (image_size, image_size, 3), mean, std, augment="crop_flip")


def _find(root: str, where: str, seed: int, test_fraction: float) -> tuple[tuple[str, ...], Split, Split]:
    """Class names and the two splits as paths."""
    # A folder of pictures may be called "train" (between "car" and "tram"): only one with folders inside is a split.
    parts = {part: _folders(os.path.join(root, part)) for part in ("train", "test")}
    if not any(parts.values()):
        names = _folders(root)
        everything = _list_files(root, names, where)
        mask = held_out(everything.labels, test_fraction, seed)
        if not mask.any():
            raise UserError(f"{where}: no class has a second picture, so none can be held out for testing; "
                            "add pictures or make train and test folders")
        return names, _take(everything, ~mask), _take(everything, mask)
    for part, names in parts.items():
        if not names:
            raise UserError(f"{where}: {os.path.join(root, part)} has no class folders but its sibling has; make both "
                            "train and test, or name the folder of classes alone to hold out a share of it")
    if parts["train"] != parts["test"]:
        _refuse_difference(parts, where)
    return parts["train"], *(_list_files(os.path.join(root, part), parts[part], where) for part in parts)


def _refuse_difference(parts: dict[str, tuple[str, ...]], where: str) -> None:
    train, test = set(parts["train"]), set(parts["test"])
    differences = [f"only in {part}: {', '.join(sorted(names))}"
                   for part, names in (("train", train - test), ("test", test - train)) if names]
    raise UserError(f"{where}: train and test must have the same class folders; {'; '.join(differences)}")


def _visible(entry: os.DirEntry) -> bool:
    return not entry.name.startswith(".") and entry.name != "__MACOSX"


def _folders(path: str) -> tuple[str, ...]:
    """Sorted names of the visible folders in `path`; none if it does not exist."""
    if not os.path.isdir(path):
        return ()
    with os.scandir(path) as entries:
        return tuple(sorted(entry.name for entry in entries if _visible(entry) and entry.is_dir()))


def _list_files(root: str, class_names: tuple[str, ...], where: str) -> Split:
    """Paths and labels of all pictures, class after class, sorted by name inside each."""
    paths, labels = [], []
    for label, class_name in enumerate(class_names):
        folder = os.path.join(root, class_name)
        with os.scandir(folder) as entries:
            found = sorted(entry.path for entry in entries
                           if _visible(entry) and entry.name.lower().endswith(SUFFIXES) and entry.is_file())
        if not found:
            raise UserError(f"{where}: the class folder {folder} has no JPEG or PNG picture; add some or remove it")
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise UserError(f"{where}: no class folders with JPEG or PNG pictures in {root}")
    return Split(np.array(paths), np.array(labels, dtype=np.int64))


def _take(split: Split, mask: np.ndarray) -> Split:
    return Split(split.images[mask], split.labels[mask])


def _sample(paths: np.ndarray, size: int, where: str) -> np.ndarray:
    rows = np.unique(np.linspace(0, len(paths) - 1, SAMPLE).astype(np.int64))
    return read_images(paths[rows], size, where)
