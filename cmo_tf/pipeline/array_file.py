"""Large arrays that are worked out once, kept on disk under a digest, and mapped into memory."""

import io
import os
from collections.abc import Callable, Iterable

import numpy as np
from filelock import FileLock

from cmo_tf.core import disk
from cmo_tf.core.errors import UserError


def kept(folder: str, digest: str, shape: tuple[int, ...], rows_from: Callable[[int], Iterable[np.ndarray]],
         batch: int) -> np.ndarray:
    """The float32 array of a digest, read-only and mapped into memory: from `FOLDER/DIGEST.npy`, or worked out first.

    What a killed process has worked out stays in `DIGEST.part`, and the next one goes on behind it. Of several
    processes one works, the others wait for it.

    Args:
        folder: made where it is missing.
        digest: names what the array holds, completely.
        shape: (N, ...) of the array.
        rows_from: row number -> its float32 rows (b, ...) from that row on, in order.
        batch: rows of each but the last; a part is gone on with at a multiple of it, so that batches stay the same.

    Raises:
        UserError: the folder cannot be written.
    """
    path = os.path.join(folder, f"{digest}.npy")
    size = 4 * int(np.prod(shape))
    with disk.writing(path, size):
        os.makedirs(folder, exist_ok=True)
        with FileLock(os.path.join(folder, f"{digest}.lock")):
            if not _is_whole(path, shape):
                _write(os.path.join(folder, f"{digest}.part"), shape, rows_from, batch)
                os.replace(os.path.join(folder, f"{digest}.part"), path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _is_whole(path, shape):
    """Whether the file has the header and the length of the array; a damaged one is worked out again."""
    head = _header(shape)
    try:
        with open(path, "rb") as file:
            return file.read(len(head)) == head and os.path.getsize(path) == len(head) + 4 * int(np.prod(shape))
    except FileNotFoundError:
        return False


def _header(shape):
    """The first bytes of an .npy file; the same for the same shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
    return file.getvalue()


def _write(path, shape, rows_from, batch):
    """Brings a part to its end."""
    head, row = _header(shape), 4 * int(np.prod(shape[1:]))
    with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
        begun = file.read(len(head)) == head
        done = (os.path.getsize(path) - len(head)) // row // batch * batch if begun else 0
        if not begun:
            file.seek(0)
            file.write(head)
        file.seek(len(head) + done * row)
        file.truncate()
        for rows in rows_from(done) if done < shape[0] else ():
            file.write(np.ascontiguousarray(rows, "<f4").tobytes())
            done += len(rows)
        file.flush()
        os.fsync(file.fileno())
    if done != shape[0]:
        raise UserError(f"{path}: {done:,} rows instead of {shape[0]:,}; remove it and give the same command again")
