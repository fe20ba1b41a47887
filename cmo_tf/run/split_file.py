"""split.csv and data.json of a run folder: the pictures of its splits, and what else of the set a run depends on."""

import csv
import dataclasses
import io
import json
import os

import numpy as np

from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import kept_split
from cmo_tf.datasets.kept_split import KeptSplit, Part
from cmo_tf.datasets.own_pictures import PARTS
from cmo_tf.report.results import read_results, write_atomically
from cmo_tf.run import data as run_data

FILE, ABOUT = "split.csv", "data.json"
HEADER = ("split", "row", "label", "class", "picture", "content")


def exists(run_dir: str) -> bool:
    """Whether a run folder has the files; those of earlier versions have not."""
    return os.path.exists(os.path.join(run_dir, FILE))


def load(run_dir: str, config) -> run_data.RunData:
    """The data of a finished run, for what looks at its test pictures: those of them that are still there.

    Raises:
        UserError: the data is not that of the run.
    """
    data = run_data.load(config, read(run_dir, whole=False))
    if os.path.exists(os.path.join(run_dir, "results.json")):
        results = read_results(run_dir)
        run_data.check_same(data, run_dir, results.get("split_fingerprint"), results.get("labels_fingerprint"))
    return data


def write(run_dir: str, data: run_data.RunData) -> run_data.RunData:
    """Writes both files; returns the data with the marks of the pictures' contents, which it takes."""
    parts = data.kept.parts
    if data.kept.named:
        parts = {name: dataclasses.replace(part, marks=kept_split.marks(data.root, part.names.tolist()))
                 for name, part in parts.items()}
    kept = dataclasses.replace(data.kept, parts=parts)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for name, part in parts.items():
        columns = [np.full(len(part.rows), "") if column is None else column
                   for column in (part.rows, part.labels, part.names, part.marks)]
        writer.writerows((name, row, label, kept.class_names[label], picture, mark)
                         for row, label, picture, mark in zip(
                             *(column.tolist() for column in columns), strict=True))
    about = {key: getattr(kept, key) for key in ("class_names", "mean", "std", "bits", "skipped")}
    write_atomically(os.path.join(run_dir, ABOUT), json.dumps(about, indent=1) + "\n")
    write_atomically(os.path.join(run_dir, FILE), text.getvalue().encode("utf-8", "surrogateescape"))
    return dataclasses.replace(data, kept=kept)


def read(run_dir: str, whole: bool = True) -> KeptSplit | None:
    """The KeptSplit of a run folder, None where there is none; a UserError names the file and line that is damaged."""
    if not exists(run_dir):
        return None
    about = _read_about(run_dir)
    parts = _parts(os.path.join(run_dir, FILE), len(about["class_names"]))
    return KeptSplit(parts=parts, whole=whole, **about)


def bits(run_dir: str) -> int | None:
    """What 16-bit pictures hold in the set of a run; None where it had none."""
    return _read_about(run_dir)["bits"] if exists(run_dir) else None


def _read_about(run_dir):
    path = os.path.join(run_dir, ABOUT)
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        mean, std = (tuple(map(float, about[key])) for key in ("mean", "std"))
        held = about["bits"]
        if held is not None and not 8 <= int(held) <= 16:
            raise ValueError(f"bits {held}")
        return {"class_names": tuple(map(str, about["class_names"])), "mean": mean, "std": std, "bits": held,
                "skipped": tuple((str(name), str(why)) for name, why in about["skipped"])}
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read ({error}); bring it back from a copy of the run") from None


def _parts(path, num_classes):
    rows, line = {}, 1
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != HEADER:
                raise ValueError(f"its first line is not {','.join(HEADER)}")
            for name, row, label, _, picture, mark in reader:
                line = reader.line_num
                if name not in (*PARTS, "unused") or not 0 <= int(label) < num_classes or int(row) < 0:
                    raise ValueError(f"{name!r}, row {row}, label {label}")
                rows.setdefault(name, []).append((int(row), int(label), picture, mark))
        for name in ("train", "test"):
            if name not in rows:
                raise ValueError(f"no {name} picture")
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read (near line {line}: {error}); bring it back from a copy of the "
                        "run") from None
    return {name: _part(columns) for name, columns in rows.items()}


def _part(rows):
    numbers, labels, names, marks = zip(*rows, strict=True)
    named = any(names)
    return Part(np.array(numbers, np.int64), np.array(labels, np.int64), np.array(names, str) if named else None,
                np.array(marks, str) if named else None)
