"""What a folder of pictures holds that does not stop a training but should not pass in silence."""

import hashlib
import os
from collections import Counter, defaultdict

from cmo_tf.datasets.kinds import other_picture

SHOWN = 3


def unread(entries) -> str | None:
    """A sentence about the folders and, by kind, the pictures of other kinds among `entries` (os.DirEntry) of class
    folders, which are not read; None if there are none."""
    counted = Counter("folders" if os.path.isdir(entry.path) else other_picture(entry.path) for entry in entries)
    found = ", ".join(f"{what}: {number}" for what, number in sorted(counted.items(), key=str) if what)
    return f"not read inside class folders are {found}; --mode=inspect names them" if found else None


def equal_files(train, test) -> str | None:
    """A sentence about the test pictures that are also training pictures, byte for byte; None if there are none.

    Only files of one size and with the same last bytes are read whole: in a large folder many sizes recur. What was
    scaled or saved anew is found by `--mode=inspect`.

    Args:
        train, test: paths.
    """
    alike = [(train, test)]
    for key in (_size, _tail):
        alike = [part for first, second in alike for part in _grouped(first, second, key)]
    pairs = []
    for first, second in alike:
        known = {_digest(path): path for path in first}
        pairs += [(known[digest], path) for path in second if (digest := _digest(path)) in known and digest]
    if not pairs:
        return None
    shown = ", ".join(f"{one} = {other}" for one, other in sorted(pairs)[:SHOWN])
    shown += ", ..." * (len(pairs) > SHOWN)
    return (f"test pictures that are training pictures too: {len(pairs)} ({shown}); the accuracy flatters, "
            "--mode=inspect lists them")


def _grouped(first, second, key):
    """(paths of first, paths of second) for each key that occurs in both; None is no key."""
    groups = defaultdict(lambda: ([], []))
    for which, paths in enumerate((first, second)):
        for path in paths:
            groups[key(path)][which].append(path)
    return [pair for name, pair in groups.items() if name is not None and all(pair)]


def _tail(path):
    try:
        with open(path, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - 4096, 0))
            return file.read()
    except OSError:
        return None


def _size(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return None  # left out, as a bad picture


def _digest(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return b""
