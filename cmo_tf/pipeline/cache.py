"""`--cache`: what of a set that is read from files or records is kept in memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import Split
from cmo_tf.datasets.decode import Progress
from cmo_tf.pipeline import eval_batches
from cmo_tf.pipeline.pictures import Pictures

SAMPLE = 256


def keep(kind: str, splits: dict, decode, size) -> tuple[dict, object]:
    """Splits and `decode` with what `kind` asks for in memory.

    Args:
        kind: "none"; "encoded", files as they are, which saves a slow disk but no decoding; "eval", the pixels that
            evaluations see; "all", both.
        splits: name -> Split or None; all but "train" are evaluated.
        decode: as the streams take it; None for images that are in memory already, which are left alone.
        size: (height, width) that the network sees.

    Raises:
        UserError: it does not fit into what memory is free.
    """
    if decode is None or kind == "none":
        return splits, decode
    if kind in ("encoded", "all") and not isinstance(decode, Pictures):
        raise UserError(f"--cache={kind}: is for published sets; pictures of a folder become squares when read, "
                        "--cache=eval keeps those of evaluations")
    kept = dict(splits)
    for name, split in splits.items():
        if split is None:
            continue
        if name != "train" and kind in ("eval", "all"):
            kept[name] = Split(_pixels(f"--cache={kind}: {name}", split, decode, size), split.labels)
        elif kind in ("encoded", "all"):
            kept[name] = Split(_encoded(f"--cache={kind}: {name}", split, decode), split.labels)
    return kept, decode if kind == "eval" else Pictures(decode.side, in_memory=True)


def _pixels(what, split, decode, size):
    _check_fits(what, len(split) * size[0] * size[1] * 3)
    images, row, progress = np.empty((len(split), *size, 3), np.uint8), 0, Progress(what, len(split))
    for batch in eval_batches(split.images, size=size, decode=decode):
        images[row:row + len(batch)] = batch
        row += len(batch)
        progress(row)
    return images


def _encoded(what, split, decode):
    """String tensor (N,) of the encoded pictures."""
    read = decode.store.read if decode.store else _read_files
    some = split.images[np.unique(np.linspace(0, len(split) - 1, SAMPLE).astype(np.int64))]
    # Twice: Python's bytes and the tensor, while it is made.
    _check_fits(what, 2 * len(split) * sum(map(len, read(some))) // len(some))
    pictures, progress = [], Progress(what, len(split))
    for start in range(0, len(split), 1024):
        records = read(split.images[start:start + 1024])
        pictures += decode.encoded_records(records) if decode.store else records
        progress(len(pictures))
    return tf.constant(pictures)


def _read_files(paths):
    def read(path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise UserError(f"--data_dir: {path.decode()} cannot be read ({error.strerror})") from None
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(read, paths.tolist()))


def _check_fits(what, needed):
    free = _available()
    if free is not None and needed > free:
        raise UserError(f"{what}: takes {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free; keep less")


def _available():
    """Bytes of memory that can be had, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
