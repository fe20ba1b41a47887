"""What lies where in a folder of pictures: as `datasets.folder` sees it, but naming every problem instead of ending."""

import os
from dataclasses import dataclass, field

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import layout
from cmo_tf.datasets.kinds import is_picture, other_picture, pictures_below, visible


@dataclass
class Layout:
    """The pictures of a folder.

    Attributes:
        names: classes in label order.
        paths, labels, parts: one entry a picture; parts are "train", "validation" and "test", or "" where a
            share is held out.
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
    try:
        _look(found, root)
    except UserError as error:
        found.stoppers.append(str(error).removeprefix(": "))
    return found


def of_listing(listing) -> Layout:
    """The layout of pictures that a table lists (`datasets.own_pictures.Listing`)."""
    found = Layout(names=listing.class_names, ignored=[("the table", note) for note in listing.notes])
    for part, split in listing.parts().items():
        found.paths += split.images.tolist()
        found.labels += split.labels.tolist()
        found.parts += [part if listing.test is not None else ""] * len(split)
    return found


def _look(found, root):
    named, notes = layout.parts(root, "")
    found.ignored += [(root, note) for note in notes]
    parts = {part: os.path.join(root, name) for part, name in named.items()} or {"": root}
    found.names = layout.class_folders(parts.get("train", root))
    _outside(found, root, set(named.values()) if named else set(found.names))
    for part, folder in parts.items():
        there = layout.same_name(layout.class_folders(folder))
        for label, composed in enumerate(layout.same_name(found.names)):
            if composed in there:
                _class(found, os.path.join(folder, there[composed]), label, part)
    tested = {label for label, part in zip(found.labels, found.parts, strict=True) if part == "test"}
    for label, name in enumerate(found.names if named else ()):
        if label not in tested:
            found.ignored.append((os.path.join(parts["test"], name), "no test pictures of this class: it stays "
                                  "untested"))
    if len(found.names) < 2:
        found.stoppers.append(f"{root} has {len(found.names)} class folders; a classifier needs two, with the pictures "
                              "of a class in each")
    elif "" in parts and found.labels and np.bincount(found.labels).max() < 2:
        found.stoppers.append("no class has a second picture, so none can be held out for testing; add pictures")
    layout.check_trained(found.names, {named[part]: layout.class_folders(parts[part]) for part in named
                                       if part != "train"}, "")


def _outside(found, folder, expected):
    for entry in _entries(found, folder):
        if entry.name not in expected or not os.path.isdir(entry.path):
            _note(found, entry, "lies outside the class folders")


def _class(found, folder, label, part):
    before = len(found.paths)
    for entry in _entries(found, folder):
        if is_picture(entry.path):
            found.paths.append(entry.path)
            found.labels.append(label)
            found.parts.append(part)
        else:
            _note(found, entry, "")
    if len(found.paths) == before and (part in ("", "train") or pictures_below(folder)):
        found.stoppers.append(str(layout.why_empty(os.path.dirname(folder), folder, "")).removeprefix(": "))


def _entries(found, folder):
    """Visible entries, sorted; hidden ones are counted, a folder that cannot be opened stops the training."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        found.stoppers.append(f"{folder} cannot be opened ({error.strerror})")
        return []
    found.hidden += sum(not visible(entry.name) for entry in entries)
    return [entry for entry in entries if visible(entry.name)]


def _note(found, entry, where):
    """Notes what may have been meant to be read: pictures of other kinds, names or places, folders with pictures."""
    if os.path.islink(entry.path) and os.path.isdir(entry.path):
        found.ignored.append((entry.path, "is a link to a folder; what it leads to is not read here"))
        return
    if os.path.isdir(entry.path):
        inside = pictures_below(entry.path)
        if inside:
            found.ignored.append((entry.path, f"a folder inside a class folder: its {inside} pictures are not read; "
                                  "move them up" if not where else f"{where}: its {inside} pictures are not read"))
        return
    if not os.path.isfile(entry.path):
        found.ignored.append((entry.path, "is no file: a broken link, a link to itself, a pipe or a device"))
        return
    if where and is_picture(entry.path):
        found.ignored.append((entry.path, where))
    elif kind := other_picture(entry.path):
        found.ignored.append((entry.path, where or f"is {kind}; save it as JPEG or PNG"))
