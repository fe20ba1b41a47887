"""Tables of rows in one flag file: what all rows share, then a section a row with the figures that a paper prints.

    # Paper Table 3 | CIFAR-100-LT ratio 100
    --flagfile=../cifar100lt_recipe.cfg

    [ce_cmo] CE + CMO | all=43.9
    --method=ce
    --mix=cmo

`FILE:ce_cmo` names the row. A row on other data than the first line says has it between title and figures.
"""

import dataclasses
import difflib
import itertools
import os
import re

from cmo_tf.core.errors import UserError

_HEADING = re.compile(r"\[([a-z0-9_]+)\] ([^|]+)(?: \| ([^|]+))? \| ([^|]+)$")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: where its heading stands, what the paper prints of it, and its own lines as (number, text)."""

    name: str
    title: str
    table: str
    data: str
    figures: str
    number: int
    lines: tuple

    @property
    def printed(self) -> dict[str, float]:
        """Group of classes -> the printed accuracy."""
        return {group: float(value) for group, value in re.findall(r"(\w+)=([\d.]+)", self.figures)}


def split(path: str) -> tuple[str, str | None]:
    """`table03.cfg:ce_cmo` -> (file, row); a path without a row, or of a file of that very name, has None."""
    file, colon, row = path.rpartition(":")
    return (file, row) if colon and file.endswith(".cfg") and not os.path.exists(path) else (path, None)


def stem(path: str) -> str:
    """Name of the runs of a flag file: `table03-ce_cmo` for a row, else the file's name without its ending."""
    file, row = split(path)
    name = os.path.splitext(os.path.basename(file))[0]
    return f"{name}-{row}" if row else name


def parse(path: str, lines: list[str]) -> tuple[list[tuple[int, str]], dict[str, Row]]:
    """(numbered lines that all rows share, rows by name) of a file's lines; a plain flag file has no row.

    Raises:
        UserError: a heading that is none, or a name that two rows have, with file and line.
    """
    shared, rows, about = list(enumerate(lines, 1)), {}, lines[0] if lines else ""
    starts = [number for number, line in shared if line.startswith("[")]
    for start, end in itertools.pairwise([*starts, len(lines) + 1]):
        row = _row(f"{path}:{start}", about, start, tuple(shared[start - 1:end - 1]))
        if row.name in rows:
            raise UserError(f"{path}:{start}: [{row.name}] is in line {rows[row.name].number} already; rename one")
        rows[row.name] = row
    return (shared[:starts[0] - 1] if starts else shared), rows


def choose(path: str, name: str | None, rows: dict[str, Row]) -> Row:
    """The row of a name; a UserError lists the rows where none is named, and the nearest where there is none such."""
    if name is None:
        width = max(map(len, rows))
        raise UserError(f"--flagfile={path}: is a table; name one of its rows, --flagfile={path}:{next(iter(rows))}",
                        [f"  {row.name:<{width}}  {row.title} | {row.data} | {row.figures}" for row in rows.values()])
    if name not in rows:
        nearest = difflib.get_close_matches(name, rows, n=1, cutoff=0)
        hint = f"Did you mean {path}:{nearest[0]}?" if rows else "It is no table; leave the row out"
        raise UserError(f"--flagfile={path}:{name}: no such row. {hint}")
    return rows[name]


def _row(place, about, number, lines):
    match = _HEADING.match(lines[0][1].rstrip())
    if not match:
        raise UserError(f"{place}: a heading is [name] title | figures, the name of a-z, 0-9 and _, on one line")
    table, _, data = (part.strip() for part in about.lstrip("# ").partition("|"))
    name, title, own_data, figures = match.groups()
    return Row(name, title.strip(), table, (own_data or data).strip(), figures.strip(), number, lines[1:])
