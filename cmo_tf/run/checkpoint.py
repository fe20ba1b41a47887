"""Atomic, checksummed checkpoints: a folder is either whole and verified or is not used.

Written to a temporary folder, synced and renamed; `SHA256SUMS` is written last and covers the other files. A reader
takes the newest folder whose sums hold and names those that it skipped.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil

import numpy as np

from cmo_tf.core import disk
from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError

_NAME = re.compile(r"step-(\d{10})$")
_FILES = ("arrays.npz", "meta.json")
_FRAME = 512  # bytes that an archive spends on each array, at most


class CheckpointStore:
    """The checkpoints of one run folder.

    Args:
        directory: made when something is saved.
        keep: newest ones that stay.
    """

    def __init__(self, directory: str, keep: int = 2):
        self.directory, self.keep, self.damaged = directory, keep, set()

    def steps(self) -> list[int]:
        """Steps of all checkpoints there are, good or not, ascending."""
        if not os.path.isdir(self.directory):
            return []
        return sorted(int(m[1]) for m in map(_NAME.match, os.listdir(self.directory)) if m)

    def path(self, step: int) -> str:
        """Folder of the checkpoint of a step."""
        return os.path.join(self.directory, f"step-{step:010d}")

    def save(self, step: int, arrays: dict[str, np.ndarray], meta: dict, kept=()) -> None:
        """Writes one checkpoint and removes all but the newest and those of the steps in `kept`.

        Raises:
            UserError: it cannot be written. Those that are there stay.
        """
        temporary = os.path.join(self.directory, f".tmp-{step:010d}-{os.getpid()}")
        text = json.dumps({**meta, "step": step}, allow_nan=False)
        with disk.writing(self.path(step), sum(a.nbytes + _FRAME for a in arrays.values()) + len(text)):
            os.makedirs(self.directory, exist_ok=True)
            try:
                _write(temporary, arrays, text)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)  # makes room for the log, which says why
                raise
            self._place(temporary, step)
        self.damaged.discard(step)
        self._prune(step, kept)

    def load(self, up_to: int | None = None) -> tuple[dict[str, np.ndarray], dict, list[str]] | None:
        """(arrays, meta, messages about skipped ones) of the newest good checkpoint; None if there is none at all.

        Args:
            up_to: the last step that counts; None: all.

        Raises:
            UserError: there are checkpoints and none is good. Nothing is overwritten then.
        """
        skipped = []
        for step in reversed([s for s in self.steps() if up_to is None or s <= up_to]):
            try:
                return *read(self.path(step)), skipped
            except UserError as error:
                self.damaged.add(step)
                skipped.append(f"skipped {error}")
        if skipped:
            raise UserError(f"{self.directory}: no good checkpoint ({'; '.join(skipped)}). "
                            "Move the folder away to start anew, or restore it from a copy")
        return None

    def sweep(self) -> None:
        """Ends what an interrupted save left: one that is whole takes its place, any other is removed."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        for folder in (os.path.join(self.directory, name) for name in names if name.startswith(".tmp-")):
            try:
                self._place(folder, read(folder)[1]["step"])
            except UserError:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, temporary, step):
        # The same step may be there from before a crash, or damaged: the new one is as good or better. A kill between
        # the two leaves the temporary one, which `sweep` finds.
        shutil.rmtree(self.path(step), ignore_errors=True)
        os.rename(temporary, self.path(step))
        _sync_folder(self.directory)

    def _prune(self, step, kept):
        # What was skipped on resuming must not count among the newest, or it would crowd out good ones.
        good = [s for s in self.steps() if s <= step and s not in self.damaged]
        for old in {*self.steps()} - {*good[-self.keep:], *kept}:
            shutil.rmtree(self.path(old), ignore_errors=True)


def read(folder: str) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, meta) of one checkpoint folder, after checking its sums. A UserError names what is wrong with it."""
    name = os.path.basename(folder)
    try:
        with open(os.path.join(folder, "SHA256SUMS"), encoding="utf-8") as file:
            sums = dict(reversed(line.split()) for line in file)
        for part in _FILES:
            if sums.get(part) != _sha256(os.path.join(folder, part)):
                raise UserError(f"{name}: {part} does not match its checksum")
        with open(os.path.join(folder, "meta.json"), encoding="utf-8") as file:
            meta = json.load(file)
        with np.load(os.path.join(folder, "arrays.npz"), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except OSError as error:
        raise UserError(f"{name}: {os.path.basename(str(error.filename))} is missing or unreadable") from None
    except DAMAGE:
        raise UserError(f"{name}: its checksums or metadata cannot be read") from None
    if not isinstance(meta, dict) or not isinstance(meta.get("step"), int):
        raise UserError(f"{name}: meta.json names no step")
    return arrays, meta


def _write(folder, arrays, text):
    """Everything of a checkpoint, the sums last."""
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    with open(os.path.join(folder, "arrays.npz"), "wb") as file:
        np.savez(file, **arrays)
        _sync(file)
    with open(os.path.join(folder, "meta.json"), "w", encoding="utf-8") as file:
        file.write(text)
        _sync(file)
    with open(os.path.join(folder, "SHA256SUMS"), "w", encoding="utf-8") as file:
        file.writelines(f"{_sha256(os.path.join(folder, name))}  {name}\n" for name in _FILES)
        _sync(file)
    _sync_folder(folder)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(file):
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path):
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
