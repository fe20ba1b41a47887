"""The CSV file of predictions: cells that no spreadsheet runs as a formula, files written whole or not at all."""

import contextlib
import csv
import os
import re
import sys

from cmo_tf.core.errors import UserError

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def header(top: int) -> list[str]:
    """Names of the columns for `top` classes a picture."""
    return ["path", "class", "confidence"] + [f"{what}_{rank}" for rank in range(2, top + 1)
                                              for what in ("class", "confidence")]


def row(path: str, names, probabilities) -> list[str]:
    """Cells of one picture: its path, then each name with its probability, the likeliest first."""
    cells = [as_path(path)]
    for name, probability in zip(names, probabilities, strict=True):
        cells += [as_text(name), f"{probability:.6f}"]
    return cells


def as_text(text: str) -> str:
    """`text` on one line, with a quote in front where a spreadsheet would take it for a formula (OWASP)."""
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def as_path(path: str) -> str:
    """The same for a path, which stays one: `./` in front does it too."""
    path = one_line(path)
    return os.path.join(".", path) if path.lstrip().startswith(FORMULA) else path


def one_line(text: str) -> str:
    """`text` with line breaks, other control characters and bytes that are no UTF-8 written as escapes."""
    text = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def writing(path: str | None):
    """Yields a csv.writer on standard output, or on a file that appears under its name only when all went well.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        yield csv.writer(sys.stdout, lineterminator="\n")
        sys.stdout.flush()
        return
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        raise UserError(f"--output={path}: is a folder; name a file, such as {os.path.join(path, 'predictions.csv')}")
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield csv.writer(file, lineterminator="\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"--output={path}: cannot be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)
