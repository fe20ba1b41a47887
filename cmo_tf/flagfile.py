"""Flag files: one `--name=value` a line, read strictly, so that what looks like a setting is one.

absl's own reader resolves an included file beside the working directory and skips a recursive one silently; here an
included file lies beside the including one, recursion is refused, and every complaint names file and line.
"""

import os
import re

from cmo_tf.errors import UserError

_FLAG = re.compile(r"--(no)?[a-z][a-z0-9_]*(=.*)?$", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def expand(arguments: list[str], base: str = ".") -> tuple[list[str], list[str]]:
    """Replaces every `--flagfile` by what the file holds, in place (a later flag wins over an earlier one).

    Args:
        arguments: command-line arguments without the program.
        base: folder that relative paths of these arguments start from.

    Returns:
        (flat arguments, paths of the flag files named in `arguments` themselves, in order).
    """
    flat, files, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return flat + ["--"] + rest, files
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            flat.append(argument)
            continue
        if not equals:
            if not rest:
                raise UserError("--flagfile: the file is missing; write --flagfile=flags/quickstart.cfg")
            value = rest.pop(0)
        files.append(os.path.join(base, value))
        flat += read(os.path.join(base, value))
    return flat, files


def read(path: str, including: tuple[str, ...] = ()) -> list[str]:
    """The flags of one file, those of the files it includes in their place."""
    real = os.path.realpath(path)
    if real in including:
        raise UserError(f"--flagfile={path}: includes itself by way of {' -> '.join(map(os.path.basename, including))}")
    flags = []
    for number, line in enumerate(_lines(path), 1):
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            continue
        _lint(line, f"{path}:{number}")
        name, _, value = line.partition("=")
        if name == "--flagfile":
            flags += read(os.path.join(os.path.dirname(path), value), (*including, real))
        else:
            flags.append(line)
    return flags


def _lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UserError(f"--flagfile={path}: not a text file in UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"--flagfile={path}: cannot be read ({error.strerror})") from None
    if text.startswith("\ufeff"):
        raise UserError(f"{path}:1: starts with a byte order mark; save it as UTF-8 without one")
    return text.split("\n")


def _lint(line, place):
    if _CONTROL.search(line):
        raise UserError(f"{place}: holds a control character; write plain text, one flag a line")
    if not line.startswith("--"):
        raise UserError(f"{place}: {line!r} is no flag; write --name=value, or start a comment with #")
    if re.search(r"\s(#|//)", line):
        raise UserError(f"{place}: a comment behind a flag would become part of its value; put it on its own line")
    if not _FLAG.match(line):
        raise UserError(f"{place}: {line!r} is not of the form --name=value (no space before or in place of the =)")
    if re.search(r"\s--[a-z]", line):
        raise UserError(f"{place}: two flags on one line; put each on its own")
