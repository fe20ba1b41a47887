"""`folder:DIR`: people's own pictures, one folder a class."""

import os

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import folder_notes, kept_split, layout, own_pictures
from cmo_tf.datasets.bad_images import MAX_BAD
from cmo_tf.datasets.kinds import NAMED, is_picture, pictures_below, visible
from cmo_tf.datasets.own_pictures import MEMORY_LIMIT, Listing
from cmo_tf.datasets.source import Source, Split, check_class_names


def load(directory, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
         memory_limit=MEMORY_LIMIT, bad_images="error", max_bad=MAX_BAD, kept=None) -> Source:
    """Reads DIR/train/<class>/* and DIR/test/<class>/*, or DIR/<class>/* with a held-out share of each class.

    `train` may be `training`, `test` `testing`, in any case; `val`, `valid` or `validation` is the validation set, or,
    without a test folder, the test set. Classes are the sorted folder names of training; a class without test pictures
    is not tested. Images are the sorted picture files straight inside them (see `kinds`); hidden files and folders are
    skipped. How they are read, `own_pictures.read` says.

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
        UserError: names the folder without pictures, the classes without training pictures, the picture that cannot
            be read, or the folder that would work where pictures lie deeper.
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
    parts, notes = layout.parts(root, where)
    left: list = []
    if not parts:
        names = layout.class_folders(root)
        if not names:
            loose = pictures_below(root)
            raise UserError(f"{where}: no class folders with pictures in {root}"
                            + f"; {loose} pictures lie in it, which a folder for each class should hold" * bool(loose))
        splits = {"train": _list_files(root, _folders(root, names), where, left)}
    else:
        names = layout.class_folders(os.path.join(root, parts["train"]))
        splits = {part: _list_files(root, _folders(os.path.join(root, parts[part]), names), where, left, part)
                  for part in parts}
        layout.check_trained(names, {parts[part]: layout.class_folders(os.path.join(root, parts[part]))
                                     for part in parts if part != "train"}, where)
    check_class_names(names, where)
    untested = np.setdiff1d(np.arange(len(names)), splits["test"].labels) if "test" in splits else ()
    if len(untested):
        notes.append(f"classes without test pictures, which stay untested: {', '.join(names[k] for k in untested)}")
    return Listing(root, names, **splits, notes=(*notes, *filter(None, [folder_notes.unread(left)])))


def _folders(parent: str, names) -> dict[str, str]:
    """Class -> its folder in `parent`, whose name may be written in another Unicode form."""
    there = layout.same_name(layout.class_folders(parent))
    return {name: os.path.join(parent, there.get(composed, name)) for composed, name in layout.same_name(names).items()}


def _list_files(base: str, folders: dict[str, str], where: str, left: list, part: str = "train") -> Split:
    """Paths and labels of all pictures, class after class, sorted by name inside each, with names relative to `base`.

    Args:
        folders: class -> its folder; but for training there may be none.
        left: gets the other entries that are no hidden ones.
    """
    paths, labels = [], []
    for label, folder in enumerate(folders.values()):
        if part != "train" and not os.path.isdir(folder):
            continue
        try:
            with os.scandir(folder) as entries:
                seen = [entry for entry in entries if visible(entry.name)]
        except OSError as error:
            raise UserError(f"{where}: the class folder {folder} cannot be opened ({error.strerror})") from None
        found = []
        for entry in seen:
            (found if is_picture(entry.path) else left).append(entry)
        if not found and (part == "train" or pictures_below(folder)):
            raise layout.why_empty(os.path.dirname(folder), folder, where)
        paths += sorted(entry.path for entry in found)
        labels += [label] * len(found)
    if not paths:
        raise UserError(f"{where}: no class has a {part} picture ({NAMED}); add some or remove the {part} folders")
    names = [os.path.relpath(path, base) for path in paths]
    return Split(np.array(paths), np.array(labels, dtype=np.int64), np.array(names))
