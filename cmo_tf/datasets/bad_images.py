"""Pictures that cannot be read: the first one ends the load, or all are left out up to a cap (`--bad_images`)."""

import math

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.kinds import READ, kind

ACTIONS = ("error", "skip")
MAX_BAD = 0.05


def reason(error: Exception, data: bytes) -> str:
    """Why an encoded picture was not read, in a few words: what it is instead, or what the decoder says."""
    if not data:
        return "the file is empty"
    found = kind(data)
    if found not in (*READ, None):
        return f"it is {found}, whatever its name says; save it as JPEG or PNG"
    if found is None:
        return "it is no picture of any known kind"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{found}: {said}"


class BadImages:
    """Collects what cannot be read of a set.

    Args:
        what: name of the set, for the error.
        total: pictures of the set.
        action: "error" (the first one ends the load) or "skip".
        cap: the most that may be left out; below 1 a share of all, rounded up.

    `found` is row -> UserError of the pictures left out.
    """

    def __init__(self, what: str, total: int, action: str = "error", cap: float = MAX_BAD):
        self.what, self.total, self.action, self.cap = what, total, action, cap
        self.limit = math.ceil(cap * total) if cap < 1 else int(cap)
        self.found: dict[int, UserError] = {}

    def add(self, row: int, error: UserError) -> None:
        """Notes a picture; a UserError if none may be left out, or one more than the cap allows."""
        if self.action == "error":
            raise error
        self.found[row] = error
        if len(self.found) > self.limit:
            first = str(self.found[min(self.found)]).removeprefix(f"{self.what}: ")
            raise UserError(f"--max_bad={self.cap:g}: {self.what} has more than {self.limit} bad pictures among "
                            f"{self.total}, the first {first}; --mode=inspect lists them all, a larger --max_bad "
                            "leaves them out")
