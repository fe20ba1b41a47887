"""`folder:DIR`: people's own pictures, one folder a class."""

import os

import numpy as np

from cmo_tf.datasets import folder_notes
from cmo_tf.datasets.bad_images import MAX_BAD, BadImages
from cmo_tf.datasets.decode import each_image, read_images
from cmo_tf.datasets.source import Source, Split, check_class_names, held_out, pixel_statistics, stored_size
from cmo_tf.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_SIZE = 64
MEMORY_LIMIT = 2 * 1024**3
# Mean and std of a set that is too large for memory come from this many pictures, spread evenly over it.
SAMPLE = 10_000


def load(directory, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
         memory_limit=MEMORY_LIMIT, bad_images="error", max_bad=MAX_BAD) -> Source:
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
        bad_images: "error", or "skip": pictures that cannot be read are left out, with the splits of a folder without
            them, and are named in `skipped`. A set too large for memory is read once through to find them.
        max_bad: the most that may be left out; below 1 a share of all.
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
    class_names, left, *parts = _find(root, where)
    check_class_names(class_names, where)
    train, test = _splits(parts, where, seed, test_fraction)
    size = stored_size(image_size)
    fits = (len(train) + len(test)) * size * size * 3 <= memory_limit
    bad = BadImages(where, len(train) + len(test), bad_images, max_bad)
    paths, images = np.concatenate([train.images, test.images]), None
    if fits:
        images = read_images(paths, size, where, bad)
    elif bad_images == "skip":
        for _ in each_image(paths, size, where, bad):
            pass
    skipped = {str(paths[row]): str(error).removeprefix(f"{where}: ") for row, error in sorted(bad.found.items())}
    if skipped:
        train, test = _splits([_without(part, skipped, class_names, where) for part in parts], where, seed,
                              test_fraction)
    notes = tuple(filter(None, (folder_notes.unread(left), folder_notes.equal_files(train.images, test.images))))
    if fits:
        train, test = _with_pixels(train, test, paths, images)
    mean, std = pixel_statistics(train.images if fits else _sample(train.images, size, where))
    return Source(name, train, test, class_names, (image_size, image_size, 3), mean, std, augment="crop_flip",
                  skipped=tuple(skipped.items()), notes=notes)


def _splits(parts: list[Split], where: str, seed: int, test_fraction: float) -> tuple[Split, Split]:
    """(train, test) of the splits there are; of a single one a share of each class is held out."""
    if len(parts) == 2:
        return tuple(parts)
    mask = held_out(parts[0].labels, test_fraction, seed)
    if not mask.any():
        raise UserError(f"{where}: no class has a second picture, so none can be held out for testing; "
                        "add pictures or make train and test folders")
    return _take(parts[0], ~mask), _take(parts[0], mask)


def _without(split: Split, skipped: dict[str, str], class_names: tuple[str, ...], where: str) -> Split:
    """The split without the paths left out; a class must keep a picture."""
    left = _take(split, np.array([str(path) not in skipped for path in split.images]))
    empty = np.setdiff1d(split.labels, left.labels)
    if empty.size:
        raise UserError(f"{where}: no picture of class {class_names[empty[0]]!r} can be read; mend one or remove its "
                        "folder")
    return left


def _with_pixels(train: Split, test: Split, paths: np.ndarray, images: np.ndarray) -> tuple[Split, Split]:
    """The splits with the pixels of their paths; without a copy where all pictures are used."""
    if len(train) + len(test) == len(paths):
        first, second = images[:len(train)], images[len(train):]
    else:
        place = {path: row for row, path in enumerate(paths)}
        first, second = (images[[place[path] for path in part.images]] for part in (train, test))
    return Split(first, train.labels), Split(second, test.labels)


def _find(root: str, where: str) -> tuple:
    """Class names, entries that are not read, and, as paths, the one split there is or train and test."""
    # A folder of pictures may be called "train" (between "car" and "tram"): only one with folders inside is a split.
    parts = {part: class_folders(os.path.join(root, part)) for part in ("train", "test")}
    if not any(parts.values()):
        names, left = class_folders(root), []
        return names, left, _list_files(root, names, where, left)
    for part, names in parts.items():
        if not names:
            raise UserError(f"{where}: {os.path.join(root, part)} has no class folders but its sibling has; make both "
                            "train and test, or name the folder of classes alone to hold out a share of it")
    if parts["train"] != parts["test"]:
        _refuse_difference(parts, where)
    left = []
    return parts["train"], left, *(_list_files(os.path.join(root, part), parts[part], where, left) for part in parts)


def _refuse_difference(parts: dict[str, tuple[str, ...]], where: str) -> None:
    train, test = set(parts["train"]), set(parts["test"])
    differences = [f"only in {part}: {', '.join(sorted(names))}"
                   for part, names in (("train", train - test), ("test", test - train)) if names]
    raise UserError(f"{where}: train and test must have the same class folders; {'; '.join(differences)}")


def visible(entry: os.DirEntry) -> bool:
    """Whether an entry is no hidden one and none of macOS' archives."""
    return not entry.name.startswith(".") and entry.name != "__MACOSX"


def class_folders(path: str) -> tuple[str, ...]:
    """Sorted names of the visible folders in `path`; none if it does not exist."""
    if not os.path.isdir(path):
        return ()
    with os.scandir(path) as entries:
        return tuple(sorted(entry.name for entry in entries if visible(entry) and os.path.isdir(entry.path)))


def is_picture(entry: os.DirEntry) -> bool:
    """Whether an entry of a class folder is taken for a picture: by its suffix, links to nowhere too (which cannot be
    read), but no folders, pipes or sockets."""
    named = visible(entry) and entry.name.lower().endswith(SUFFIXES)
    # os.path and not the entry's own methods, which raise on a link that leads to itself.
    return named and (os.path.isfile(entry.path) or (os.path.islink(entry.path) and not os.path.exists(entry.path)))


def _list_files(root: str, class_names: tuple[str, ...], where: str, left: list) -> Split:
    """Paths and labels of all pictures, class after class, sorted by name inside each; `left` gets the other entries
    that are no hidden ones."""
    paths, labels = [], []
    for label, class_name in enumerate(class_names):
        folder = os.path.join(root, class_name)
        try:
            with os.scandir(folder) as entries:
                seen = [entry for entry in entries if visible(entry)]
        except OSError as error:
            raise UserError(f"{where}: the class folder {folder} cannot be opened ({error.strerror})") from None
        found = []
        for entry in seen:
            (found if is_picture(entry) else left).append(entry)
        found = sorted(entry.path for entry in found)
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
