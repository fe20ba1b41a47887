"""Files that cannot be written: one line that says how many bytes they need, how many there are, and the way out."""

import contextlib
import errno
import os
import shutil

from cmo_tf.core.errors import UserError

# No space left, over quota, over the limit of a file's size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BLOCK = 4096  # what an empty file or folder may take


@contextlib.contextmanager
def writing(path, needed: int):
    """Turns the error of the system while `path` is written into a UserError.

    Args:
        path: the file or folder that is written inside.
        needed: bytes that it takes, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise refusal(path, needed, error.errno) from None


def refusal(path, needed: int, number: int) -> UserError:
    """The UserError about a file that cannot be written for the reason `number`, an errno."""
    why = os.strerror(number)
    if number not in FULL:
        return UserError(f"{path}: cannot be written ({why}); mend that and give the same command again")
    return UserError(f"{path}: no room for it ({why}): at least {needed:,} bytes are needed, {_free(path)} are free "
                     "there. Make room and give the same command again; a run goes on from where it was last saved")


def _free(path):
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return f"{shutil.disk_usage(folder).free:,}"
