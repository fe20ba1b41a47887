"""Studies: what is kept of many finished runs, in one file of JSON lines.

The first line holds what all runs share, `{"shared": {...}}`, every other one a run by name: its results.json without
what is shared, its history (metrics.csv, a list a column) and, where predictions were kept, which test images it had
right. `FILE.jsonl:NAME` names a run.
"""

import base64
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.report.results import plain, read_history, read_predictions, read_results, write_atomically

ENDING = ".jsonl"
_BY_ITEM = ("flags", "versions")  # of which each item is shared or not for itself


def split(path: str) -> tuple[str, str | None] | None:
    """(file, name of a run or None for all) of a path to a study; None of any other path."""
    file, colon, name = path.rpartition(":")
    if colon and file.endswith(ENDING):
        return file, name
    return (path, None) if path.endswith(ENDING) else None


def read(path) -> dict[str, dict]:
    """Run -> its results.json, with `history` (column -> values) and `correct` (base64) where there are any.

    Raises:
        UserError: the file is missing, or a line of it is no run.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a study such as docs/results/*/runs.jsonl") \
            from None
    runs, shared = {}, {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if number == 1 and set(row) == {"shared"}:
                shared = row["shared"]
                continue
            row = _merged(shared, row)
            name = row.pop("name")
            if not {"accuracy", "per_class"} <= set(row) or name in runs:
                raise ValueError("no results of a run, or one that is there twice")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}:{number}: is no line of a study ({error}); restore the file") from None
        runs[name] = row
    return runs


def add(path, name: str, run_dir, without: Collection[str] = ()) -> None:
    """Adds a finished run to a study, in the place of one of that name; the file is written whole or not at all.

    Args:
        path: of the study, which need not exist.
        run_dir: folder of the run.
        without: flags that are this machine's.
    """
    row = read_results(run_dir)
    row["flags"] = {key: value for key, value in (row.get("flags") or {}).items() if key not in without}
    rows = read_history(run_dir)
    row["history"] = {key: [r.get(key) for r in rows] for key in dict.fromkeys(key for r in rows for key in r)}
    if (Path(run_dir) / "predictions.npz").exists():
        predictions = read_predictions(run_dir)
        row["correct"] = packed(predictions.labels == predictions.predicted)
    runs = read(path) if os.path.exists(path) else {}
    write(path, {**runs, name: row})


def write(path, runs: Mapping[str, Mapping]) -> None:
    """Writes a study of runs as `read` gives them."""
    rows = [_rounded(plain(row)) for row in runs.values()]
    shared = _shared(rows)
    lines = [{"shared": shared}, *({"name": name, **_difference(row, shared)}
                                   for name, row in zip(runs, rows, strict=True))]
    write_atomically(path, "".join(json.dumps(line, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
                                   for line in lines))


def packed(right: np.ndarray) -> str:
    """What a study keeps of which test images were right, bool (N,); `correct` gives them back."""
    return base64.b64encode(np.packbits(right)).decode()


def correct(row: Mapping) -> np.ndarray | None:
    """Which test images, in their order, a run of a study had right, bool (N,); None where that was not kept."""
    if "correct" not in row:
        return None
    number = sum(entry["test_count"] for entry in row["per_class"])
    return np.unpackbits(np.frombuffer(base64.b64decode(row["correct"]), np.uint8), count=number).astype(bool)


def _shared(rows):
    """What all rows have alike; nothing of a single one, so that each line of a study of one run is whole."""
    if len(rows) < 2:
        return {}
    first = {key: value for key, value in rows[0].items() if all(key in row for row in rows)}
    whole = {key: value for key, value in first.items()
             if key not in _BY_ITEM and all(row[key] == value for row in rows)}
    items = {key: {item: value for item, value in first[key].items()
                   if all(item in row[key] and row[key][item] == value for row in rows)}
             for key in _BY_ITEM if isinstance(first.get(key), dict)}
    return {**whole, **items}


def _difference(row, shared):
    rest = {key: value for key, value in row.items() if key not in shared or key in _BY_ITEM}
    for key in _BY_ITEM:
        if key in shared:
            rest[key] = {item: value for item, value in row[key].items() if item not in shared[key]}
    return rest


def _merged(shared, row):
    return {**shared, **row, **{key: {**shared[key], **row[key]} for key in _BY_ITEM if key in shared and key in row}}


def _rounded(value):
    """Floats to six decimals: nobody measures more, and lines stay short."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
