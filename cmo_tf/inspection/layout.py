"""What lies where in a folder of pictures: as `datasets.folder` sees it, but naming every problem instead of ending."""

import os
from dataclasses import dataclass, field

import numpy as np

from cmo_tf.datasets.bad_images import kind
from cmo_tf.datasets.folder import SUFFIXES, class_folders, is_picture, visible


@dataclass
class Layout:
    """The pictures of a folder.

    Attributes:
        names: classes in label order.
        paths, labels, parts: one entry a picture; parts are "train" and "test", or "" where a share is held out.
        stoppers: why the folder as a whole cannot be trained on.
        ignored: (path, why) of what is not read and perhaps was meant to be.
        hidden: number of hidden files and folders.
    """

    names: tuple[str, ...] = ()
    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    stoppers: list[str] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0


def look(root: str) -> Layout:
    """The layout of a folder, without opening a picture."""
    found = Layout()
    parts = {part: class_folders(os.path.join(root, part)) for part in ("train", "test")}
    if any(parts.values()):
        found.names = tuple(sorted({*parts["train"], *parts["test"]}))
    else:
        parts = {"": class_folders(root)}
        found.names = parts[""]
    _outside(found, root, {*parts} if "" not in parts else set(found.names))
    for part, names in parts.items():
        for name in sorted(set(found.names) - set(names)):
            found.stoppers.append(f"class {name!r} has no folder in {os.path.join(root, part)}; train and test must "
                                  "have the same classes")
        for name in names:
            _class(found, os.path.join(root, part, name), found.names.index(name), part)
    if len(found.names) < 2:
        found.stoppers.append(f"{root} has {len(found.names)} class folders; a classifier needs two, with the pictures "
                              "of a class in each")
    elif "" in parts and found.labels and np.bincount(found.labels).max() < 2:
        found.stoppers.append("no class has a second picture, so none can be held out for testing; add pictures")
    return found


def _outside(found, folder, expected):
    for entry in _entries(found, folder):
        if entry.name not in expected or not os.path.isdir(entry.path):
            _note(found, entry, "lies outside the class folders")


def _class(found, folder, label, part):
    before = len(found.paths)
    for entry in _entries(found, folder):
        if is_picture(entry):
            found.paths.append(entry.path)
            found.labels.append(label)
            found.parts.append(part)
        else:
            _note(found, entry, "")
    if len(found.paths) == before:
        found.stoppers.append(f"the class folder {folder} has no JPEG or PNG picture; add some or remove it")


def _entries(found, folder):
    """Visible entries, sorted; hidden ones are counted, a folder that cannot be opened stops the training."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        found.stoppers.append(f"{folder} cannot be opened ({error.strerror})")
        return []
    found.hidden += sum(not visible(entry) for entry in entries)
    return [entry for entry in entries if visible(entry)]


def _note(found, entry, where):
    """Notes what may have been meant to be read: pictures of other kinds, names or places, folders with pictures."""
    if os.path.islink(entry.path) and os.path.isdir(entry.path):
        found.ignored.append((entry.path, "is a link to a folder; what it leads to is not read here"))
        return
    if os.path.isdir(entry.path):
        inside = _pictures_below(entry.path)
        if inside:
            found.ignored.append((entry.path, f"a folder inside a class folder: its {inside} pictures are not read; "
                                  "move them up" if not where else f"{where}: its {inside} pictures are not read"))
        return
    if not os.path.isfile(entry.path):
        found.ignored.append((entry.path, "is no file: a broken link, a link to itself, a pipe or a device"))
        return
    picture = _kind(entry.path)
    if picture and where:
        found.ignored.append((entry.path, where))
    elif picture in ("JPEG", "PNG"):
        found.ignored.append((entry.path, f"is {picture}, but its name does not end in {', '.join(SUFFIXES)}; rename "
                              "it"))
    elif picture:
        found.ignored.append((entry.path, f"is {picture}; save it as JPEG or PNG"))


def _kind(path):
    """The kind of a file that is a picture or might be; None for other files."""
    try:
        with open(path, "rb") as file:
            found = kind(file.read(64))
    except OSError:
        return None
    return None if found in (None, "text", "ZIP", "PDF", "video") else found


def _pictures_below(folder):
    """Pictures in a folder and the folders in it; links to folders are not followed, which might lead back."""
    return sum(name.lower().endswith(SUFFIXES) for _, _, names in os.walk(folder) for name in names)
