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

from cmo_tf.errors import UserError

_NAME = re.compile(r"step-(\d{10})$")
_FILES = ("arrays.npz", "meta.json")


class CheckpointStore:
    """The checkpoints of one run folder.

    Args:
        directory: made when something is saved.
        keep: newest ones that stay, beside the one of the best epoch.
    """

    def __init__(self, directory: str, keep: int = 2):
        self.directory, self.keep = directory, keep

    def steps(self) -> list[int]:
        """Steps of all checkpoints there are, good or not, ascending."""
        if not os.path.isdir(self.directory):
            return []
        return sorted(int(m[1]) for m in map(_NAME.match, os.listdir(self.directory)) if m)

    def path(self, step: int) -> str:
        """Folder of the checkpoint of a step."""
        return os.path.join(self.directory, f"step-{step:010d}")

    def save(self, step: int, arrays: dict[str, np.ndarray], meta: dict, best_step: int | None = None) -> None:
        """Writes one checkpoint and removes those that are neither among the newest nor the best."""
        os.makedirs(self.directory, exist_ok=True)
        temporary = os.path.join(self.directory, f".tmp-{step:010d}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        os.mkdir(temporary)
        with open(os.path.join(temporary, "arrays.npz"), "wb") as file:
            np.savez(file, **arrays)
            _sync(file)
        with open(os.path.join(temporary, "meta.json"), "w", encoding="utf-8") as file:
            json.dump({**meta, "step": step}, file, allow_nan=False)
            _sync(file)
        with open(os.path.join(temporary, "SHA256SUMS"), "w", encoding="utf-8") as file:
            file.writelines(f"{_sha256(os.path.join(temporary, name))}  {name}\n" for name in _FILES)
            _sync(file)
        _sync_folder(temporary)
        # The same step may be there from before a crash, or damaged: the new one is as good or better.
        shutil.rmtree(self.path(step), ignore_errors=True)
        os.rename(temporary, self.path(step))
        _sync_folder(self.directory)
        self._prune(best_step)

    def load(self) -> tuple[dict[str, np.ndarray], dict, list[str]] | None:
        """(arrays, meta, messages about skipped ones) of the newest good checkpoint; None if there is none at all.

        Raises:
            UserError: there are checkpoints and none is good. Nothing is overwritten then.
        """
        skipped = []
        for step in reversed(self.steps()):
            try:
                return *read(self.path(step)), skipped
            except UserError as error:
                skipped.append(f"skipped {error}")
        if skipped:
            raise UserError(f"{self.directory}: no good checkpoint ({'; '.join(skipped)}). "
                            "Move the folder away to start anew, or restore it from a copy")
        return None

    def sweep(self) -> None:
        """Removes what an interrupted save left behind."""
        if os.path.isdir(self.directory):
            for name in os.listdir(self.directory):
                if name.startswith(".tmp-"):
                    shutil.rmtree(os.path.join(self.directory, name), ignore_errors=True)

    def _prune(self, best_step):
        kept = {*self.steps()[-self.keep:], best_step}
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self.path(step), ignore_errors=True)


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
            return {key: file[key] for key in file.files}, meta
    except OSError as error:
        raise UserError(f"{name}: {os.path.basename(str(error.filename))} is missing or unreadable") from None
    except ValueError:
        raise UserError(f"{name}: its checksums or metadata cannot be read") from None


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
