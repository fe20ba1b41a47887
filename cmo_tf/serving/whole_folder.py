"""A folder that is written whole or not at all."""

import contextlib
import os
import shutil
import tempfile

from cmo_tf.core.errors import UserError


@contextlib.contextmanager
def whole_folder(target: str, flag: str = "output"):
    """Yields a new folder that takes the place of `target` when all went well; otherwise nothing has changed.

    Args:
        target: path of the folder; what it holds is gone afterwards, which the caller has made sure may be.
        flag: named in errors.

    Raises:
        UserError: it cannot be written.
    """
    parent, name = os.path.split(os.path.abspath(target))
    try:
        os.makedirs(parent, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    except OSError as error:
        raise UserError(f"--{flag}={target}: cannot be written ({error.strerror})") from None
    place = os.path.join(scratch, "new")
    try:
        os.mkdir(place)
        yield place
        if os.path.isdir(target):
            os.rename(target, os.path.join(scratch, "old"))
        os.rename(place, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
