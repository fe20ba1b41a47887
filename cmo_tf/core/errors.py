"""The one exception that is the user's to mend: one line on stderr, exit code 2, no traceback."""

import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class UserError(Exception):
    """Bad input. The message is one line that names the flag, file or row and the way out.

    `cmo_tf.main` prints it to stderr and exits with code 2; a library user catches it as any exception.
    """

    exit_code = 2
    # Keras then leaves the message as it is; it would wrap it in the arguments of the layer that is called.
    _keras_call_info_injected = True

    def __init__(self, message: str, listing: Iterable[str] = ()):
        """`listing`: what there is to choose from, a line each, which the program prints below the message."""
        # Names of files may hold what a terminal obeys.
        super().__init__(_harmless(" ".join(str(message).split())))
        self.listing = [_harmless(line) for line in listing]


def _harmless(text):
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
