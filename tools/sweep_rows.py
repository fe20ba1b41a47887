"""Rows of a sweep: what a queue file lists, times the points of a grid, times seeds."""

import itertools
import os
import re
import shlex
from typing import NamedTuple

from cmo_tf.core.errors import UserError


class Row(NamedTuple):
    """A training run: the name of its folder, its flags, and the name that the seeds of one setting share."""

    name: str
    arguments: list[str]
    setting: str


def read_queue(path: str) -> list[tuple[str, list[str]]]:
    """(name, flags) of each row. A UserError names a bad line."""
    rows, names = [], set()
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file in UTF-8"
        raise UserError(f"--queue={path}: cannot be read ({reason})") from None
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        if not words:
            continue
        name, arguments = words[0], words[1:]
        if name.startswith("-") or not all(a.startswith("--") for a in arguments):
            raise UserError(f"{path}:{number}: a row is a name and then flags, --name=value")
        if name in names or os.path.basename(name) != name:
            raise UserError(f"{path}:{number}: the name {name!r} stands there twice or is no plain folder name")
        names.add(name)
        rows.append((name, arguments))
    if not rows:
        raise UserError(f"--queue={path}: holds no row")
    return rows


def grid(text: str) -> list[tuple[str, list[str]]]:
    """(name, flags) of each point of `'method=ce,bs mix=none,cmo'`: every value of a flag with every one of the others.

    The name lists flags and values, `method_ce-mix_none`. A value cannot hold a comma; a queue file can.
    """
    axes = []
    for word in shlex.split(text):
        flag, equals, values = word.removeprefix("--").partition("=")
        choices = values.split(",")
        if not flag or not equals or "" in choices or len(set(choices)) < len(choices):
            raise UserError(f"--grid={text}: write flags with their values, --grid='method=ce,bs mix=none,cmo'")
        axes.append([(flag, value) for value in choices])
    if not axes or len({axis[0][0] for axis in axes}) < len(axes):
        raise UserError(f"--grid={text}: names no flag, or one twice")
    return [("-".join(_plain(f"{flag}_{value}") for flag, value in point), [f"--{f}={v}" for f, v in point])
            for point in itertools.product(*axes)]


def _plain(text: str) -> str:
    """`text` as a part of a folder's name."""
    return re.sub(r"[^\w.+]+", "_", text)


def times_grid(rows: list[tuple[str, list[str]]], points: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Every row at every point of the grid."""
    return [("-".join(filter(None, (name, point))), [*arguments, *chosen])
            for name, arguments in rows for point, chosen in points]


def parse_seeds(text: list[str]) -> list[int]:
    """Seeds of `--seeds`, each once."""
    try:
        seeds = [int(seed) for seed in text]
    except ValueError:
        raise UserError(f"--seeds={','.join(text)}: write whole numbers, such as --seeds=0,1,2") from None
    return list(dict.fromkeys(seeds))


def times_seeds(rows: list[tuple[str, list[str]]], seeds: list[int], there) -> list[Row]:
    """Every row with every seed, seed after seed, so that an early stop leaves all settings with the same ones.

    A run is called NAME-s<seed>; a run of NAME alone that is `there` already (a function of the name) stays the one of
    its own seed.
    """
    if not seeds:
        return [Row(name, arguments, name) for name, arguments in rows]
    return [_seeded(name, arguments, seed, there) for seed in seeds for name, arguments in rows]


def _seeded(name, arguments, seed, there) -> Row:
    own = [a.removeprefix("--seed=") for a in arguments if a.startswith("--seed=")]
    if there(name) and str(seed) == (own[-1] if own else "0"):
        return Row(name, arguments, name)
    return Row(f"{name}-s{seed}", [*arguments, f"--seed={seed}"], name)
