"""`folder:DIR`: people's own pictures, one folder a class."""

import os

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import folder_notes, kept_split, own_pictures
from cmo_tf.datasets.bad_images import MAX_BAD
from cmo_tf.datasets.own_pictures import MEMORY_LIMIT, Listing
from cmo_tf.datasets.source import Source, Split, check_class_names

SUFFIXES = (".jpg", ".jpeg", ".png")


def load(directory, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
         memory_limit=MEMORY_LIMIT, bad_images="error", max_bad=MAX_BAD, kept=None) -> Source:
    """Reads DIR/train/<class>/* and DIR/test/<class>/*, or DIR/<class>/* with a held-out share of each class.

    Classes are the sorted folder names, images the sorted JPEG and PNG files straight inside them (suffix in any
    case); hidden files and folders are skipped. How they are read, `own_pictures.read` says.

    Args:
        directory: DIR, `~` allowed.
        image_size: side that the network sees; 64 by default.
        seed, test_fraction: of the held-out share, where there is no test folder. At least one image of each class
            stays in training, so a class of a single image is not tested.
        memory_limit: bytes that the pixels of the whole set may take.
        bad_images: "error", or "skip": pictures that cannot be read are left out, with the splits of a folder without
            them, and are named in `skipped`. A set too large for memory is read once through to find them.
        max_bad: the most that may be left out; below 1 a share of all.
        kept: a kept_split.KeptSplit; its pictures are read, whatever else lies in the folder now.
        data_dir, download: nothing to act on here.

    Raises:
        UserError: names the folder without pictures, the classes in which train and test differ, the picture that
            cannot be read.
    """
    name = f"folder:{directory}"
    root, where = os.path.expanduser(str(directory)), f"--dataset={name}"
    if not os.path.isdir(root):
        raise UserError(f"{where}: no such folder")
    if kept is not None:
        return kept_split.read(kept, kept_split.listing(kept, root, where), name, image_size, memory_limit)
    return own_pictures.read(find(root, where), name, image_size=image_size, seed=seed, test_fraction=test_fraction,
                             memory_limit=memory_limit, bad_images=bad_images, max_bad=max_bad)


def find(root: str, where: str) -> Listing:
    """The pictures of a folder, by its layout."""
    class_names, left, *parts = _find(root, where)
    check_class_names(class_names, where)
    return Listing(root, class_names, *parts, notes=tuple(filter(None, [folder_notes.unread(left)])))


def _find(root: str, where: str) -> tuple:
    """Class names, entries that are not read, and, as paths, the one split there is or train and test."""
    # A folder of pictures may be called "train" (between "car" and "tram"): only one with folders inside is a split.
    parts = {part: class_folders(os.path.join(root, part)) for part in ("train", "test")}
    if not any(parts.values()):
        names, left = class_folders(root), []
        return names, left, _list_files(root, root, names, where, left)
    for part, names in parts.items():
        if not names:
            raise UserError(f"{where}: {os.path.join(root, part)} has no class folders but its sibling has; make both "
                            "train and test, or name the folder of classes alone to hold out a share of it")
    if parts["train"] != parts["test"]:
        _refuse_difference(parts, where)
    left = []
    return parts["train"], left, *(_list_files(root, os.path.join(root, part), parts[part], where, left)
                                    for part in parts)


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


def _list_files(base: str, root: str, class_names: tuple[str, ...], where: str, left: list) -> Split:
    """Paths and labels of all pictures, class after class, sorted by name inside each, with names relative to `base`;
    `left` gets the other entries that are no hidden ones."""
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
    return Split(np.array(paths), np.array(labels, dtype=np.int64),
                 np.array([os.path.relpath(path, base) for path in paths]))
