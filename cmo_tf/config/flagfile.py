"""Flag files: one `--name=value` a line, read strictly, so that what looks like a setting is one.

absl's own reader resolves an included file beside the working directory and skips a recursive one silently; here an
included file lies beside the including one, recursion is refused, and every complaint names file and line.
"""

import os
import re

from cmo_tf.config import flagtable
from cmo_tf.core.errors import UserError

# No flag file of a run comes near these; what does is no flag file, or one made to fill the memory.
MOST_BYTES, MOST_FLAGS, DEEPEST = 1 << 20, 10_000, 32

# Lines of an earlier version's flags.cfg that ask for nothing.
FORMER = ("--nofreeze_backbone",)

_FLAG = re.compile(r"--(no)?[a-z][a-z0-9_]*(=.*)?$", re.DOTALL)
# A value in quotes, or a part of one behind a colon or a comma; an apostrophe alone may begin a name.
_QUOTES = re.compile(r"""(?<=[=:,])(?:["“„](?P<open>[^"“”]*)["“”]?|'(?P<one>[^']*)'|‘(?P<two>[^’]*)’)(?=[:,]|$)""")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# What absl says, and what a user can do something with.
_PLAIN = (
    (r"^flag --", "--"),
    (r"\('Non-boolean argument to boolean flag', .*\)$", "write true or false"),
    (r"invalid literal for int\(\) .*$", "a whole number is needed"),
    (r"could not convert string to float.*$", "a number is needed"),
    (r"^Missing value for (?:flag )?(--\w+)$", r"\1: the value is missing"),
    (r"^Unknown command line flag '(\w*)'\.?", r"--\1: no such flag."),
    (r"Did you mean: (.+?) \?$", r"Did you mean --\1?"),
)


class Placed(str):
    """A flag from a flag file; `place` is its file and line."""

    place = ""


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
        files.append(os.path.normpath(os.path.join(base, value)))
        flat += read(files[-1])
    return flat, files


def table(path: str) -> list[flagtable.Row]:
    """The rows of a table of flags, in its order; none for a plain flag file."""
    return list(flagtable.parse(path, _lines(path))[1].values())


def read(path: str, including: tuple[str, ...] = ()) -> list[str]:
    """The flags of one file, or of one row of a table (`FILE:ROW`), those of the files it includes in their place."""
    real = os.path.realpath(path)
    if real in including:
        raise UserError(f"--flagfile={path}: includes itself by way of {' -> '.join(map(os.path.basename, including))}")
    if len(including) == DEEPEST:
        raise UserError(f"--flagfile={path}: is the {DEEPEST + 1}th file included in one another; write fewer")
    path, row = flagtable.split(path)
    lines, rows = flagtable.parse(path, _lines(path))
    if rows or row:
        lines = [*lines, *flagtable.choose(path, row, rows).lines]
    flags = []
    for number, line in lines:
        line = line.strip()
        if not line or line.startswith(("#", "//")) or line in FORMER:
            continue
        _lint(line, f"{path}:{number}")
        name, _, value = line.partition("=")
        if name == "--flagfile":
            flags += read(os.path.join(os.path.dirname(path), value), (*including, real))
        else:
            flag = Placed(line)
            flag.place = f"{path}:{number}"
            flags.append(flag)
        if len(flags) > MOST_FLAGS:
            raise UserError(f"{path}:{number}: more than {MOST_FLAGS:,} flags, those of included files among them")
    return flags


def complaint(error: Exception, arguments: list[str]) -> UserError:
    """What is wrong with one of `arguments`, in plain words, behind file and line where it came from a flag file."""
    message = str(error)
    for pattern, words in _PLAIN:
        message = re.sub(pattern, words, message)
    name = re.match(r"--(\w+)", message)
    spellings = (f"--{name[1]}", f"--no{name[1]}") if name else ()
    # absl complains of any value, the rest of the program of the last one, which is the one that counts.
    meant = [a for a in arguments if a.partition("=")[0] in spellings]
    meant = [a for a in meant if "=" in a and message.startswith(a)] or meant
    return UserError(f"{meant[-1].place}: {message}" if meant and isinstance(meant[-1], Placed) else message)


def check_value(name: str, value: str) -> None:
    """A UserError for a text that no line of a flag file can hold: the run could not be repeated from its flags.cfg."""
    if value != value.strip() or "\n" in value:
        raise UserError(f"--{name}={value!r}: begins or ends with a blank or holds a line break")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"--{name}={value!r}: is not text in UTF-8, which flags.cfg and the report are") from None
    _lint(f"--{name}={value}", f"--{name}={value!r}")


def _lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST_BYTES + 1)
    except UnicodeDecodeError as error:
        raise UserError(f"--flagfile={path}: not a text file in UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"--flagfile={path}: cannot be read ({error.strerror})") from None
    if len(text) > MOST_BYTES:
        raise UserError(f"--flagfile={path}: holds more than {MOST_BYTES:,} characters, so it is no flag file")
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
    if _QUOTES.search(line):
        raise UserError(f"{place}: quotes would become part of the value; write {_unquoted(line)}")
    if re.search(r"\s--[a-z]", line):
        raise UserError(f"{place}: two flags on one line; put each on its own")


def _unquoted(line):
    return _QUOTES.sub(lambda match: match["open"] or match["one"] or match["two"] or "", line)
