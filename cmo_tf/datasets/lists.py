"""The list files that publish a long-tailed set: lines of `relative/path label`."""

import os

import numpy as np

from cmo_tf.core.errors import UserError


def read_list(path: str, root: str) -> tuple[np.ndarray, np.ndarray]:
    """Paths and labels of a list file.

    Args:
        path: of the list.
        root: what its paths are relative to.

    Returns:
        bytes (N,), the paths with `root` before them, and int64 (N,) labels. Half a million lines take half a second.

    Raises:
        UserError: the file cannot be read or is empty; or names the first row (from 1) without a label, with one that
            is not a number of 0 or more, or with a path that is absolute or leads outside by `..`.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise UserError(f"--data_dir: {path} cannot be read ({error.strerror})") from None
    lines = text.rstrip().splitlines()
    pairs = [line.rsplit(None, 1) for line in lines]
    if not pairs:
        raise UserError(f"--data_dir: {path} is empty; lines of `relative/path label` are needed")
    if not all(len(pair) == 2 and pair[1].isdigit() and len(pair[1]) < 10 for pair in pairs):
        _refuse_label(path, pairs)
    names = [name for name, _ in pairs]
    _check_paths(path, text, names)
    prefix = os.fsencode(os.path.join(root, ""))
    return np.array([prefix + name for name in names]), np.array([label for _, label in pairs]).astype(np.int64)


def _refuse_label(path, pairs):
    for row, pair in enumerate(pairs, start=1):
        if len(pair) != 2:
            what = "is empty" if not pair else f"has no label behind {pair[0].decode(errors='replace')!r}"
            raise UserError(f"--data_dir: {path}, row {row} {what}; `relative/path label` is needed")
        if not pair[1].isdigit() or len(pair[1]) > 9:
            raise UserError(f"--data_dir: {path}, row {row} has the label {pair[1][:40].decode(errors='replace')!r}; "
                            "a whole number from 0 on is needed")


def _check_paths(path, text, names):
    # Looked for in the whole text first: a bad line is rare and half a million tests are slow.
    if b".." not in text and b"\0" not in text and not any(name[:1] == b"/" for name in names):
        return
    for row, name in enumerate(names, start=1):
        if name.startswith(b"/") or b"\0" in name or b".." in name.split(b"/"):
            raise UserError(f"--data_dir: {path}, row {row} has the path {name.decode(errors='replace')!r}, which "
                            "leads out of the folder; paths are relative to it")


def check_classes(labels: np.ndarray, path: str, num_classes: int | None = None) -> int:
    """The number of classes, those of the training list, each of which must have an image; `num_classes` is given for
    another list, whose labels must be among them. UserError names file, row and label."""
    if num_classes is not None:
        bad = np.flatnonzero(labels >= num_classes)
        if bad.size:
            raise UserError(f"--data_dir: {path}, row {bad[0] + 1} has the label {labels[bad[0]]}; the training list "
                            f"has classes 0 to {num_classes - 1}")
        return num_classes
    if labels.max() > 10 * len(labels):
        raise UserError(f"--data_dir: {path}, row {labels.argmax() + 1} has the label {labels.max()}, more than there "
                        "can be classes")
    counts = np.bincount(labels)
    missing = np.flatnonzero(counts == 0)
    if missing.size and labels.min() == 1 and missing.size == 1:
        raise UserError(f"--data_dir: {path} has labels 1 to {len(counts) - 1}; the first class is 0, take 1 from each")
    if missing.size:
        raise UserError(f"--data_dir: {path} has no image with the label {missing[0]}, though labels go up to "
                        f"{len(counts) - 1}; the list is not complete")
    return len(counts)


def check_first(paths: np.ndarray, path: str) -> None:
    """UserError if the first picture of a list is not there. The others are left to `tools/verify_data.py`: asking for
    each of them takes a while."""
    first = os.fsdecode(bytes(paths[0]))
    if not os.path.isfile(first):
        raise UserError(f"--data_dir: {first}, row 1 of {path}, is not there; --data_dir is the folder that the paths "
                        "of the lists begin in")
