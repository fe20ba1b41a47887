"""The files that a run leaves: results.json, metrics.csv and predictions.npz, each written whole or not at all."""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cmo_tf.core import disk
from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError
from cmo_tf.evaluation import calibration, metrics
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.long_tail import GROUPS


def evaluate(predictions: Predictions, class_counts, class_names: Sequence[str], groups: Mapping) -> dict:
    """The part of results.json that follows from the predictions of one network on one test set.

    Args:
        predictions: labels, predicted classes and confidences of N test images.
        class_counts: ints (C,), training images of each class.
        class_names: C names, in label order.
        groups: name -> class indices or mask, from `long_tail.shot_groups`.

    Returns:
        Plain Python values: `accuracy` {all, many, medium, few}, `macro`, `micro` in percent; `per_class`, a list of
        {class, name, group, train_count, test_count, accuracy}; `groups`, name -> {classes, train_images,
        test_images}; `class_counts`; `ece`, `mce` in [0, 1]; `group_ece` {all, many, medium, few}; `overconfidence`
        the same in [-1, 1]; `reliability` {count, accuracy, confidence}, 15 entries each. What does not exist is None.
    """
    labels, predicted, num_classes = predictions.labels, predictions.predicted, len(class_counts)
    per_class = _per_class(predictions, class_counts, class_names, groups)
    return plain({
        "accuracy": metrics.accuracy_by_group(labels, predicted, groups, num_classes),
        "macro": metrics.macro_accuracy(labels, predicted, num_classes),
        "micro": metrics.micro_accuracy(labels, predicted),
        "per_class": per_class,
        "groups": {name: _group_sizes(name, per_class) for name in GROUPS},
        "class_counts": class_counts,
    } | calibration.summary(predictions, groups, num_classes))


def _per_class(predictions: Predictions, class_counts, class_names, groups) -> list[dict]:
    accuracy = metrics.per_class_accuracy(predictions.labels, predictions.predicted, len(class_counts))
    tested = np.bincount(predictions.labels, minlength=len(class_counts))
    group = np.full(len(class_counts), "", dtype=object)
    for name in GROUPS:
        group[metrics.group_mask(groups, name, len(class_counts))] = name
    columns = zip(class_names, group, class_counts, tested, accuracy, strict=True)
    keys = ("name", "group", "train_count", "test_count", "accuracy")
    return [{"class": k} | dict(zip(keys, row, strict=True)) for k, row in enumerate(columns)]


def _group_sizes(name: str, per_class: list[dict]) -> dict:
    rows = [row for row in per_class if row["group"] == name]
    return {
        "classes": len(rows),
        "train_images": sum(row["train_count"] for row in rows),
        "test_images": sum(row["test_count"] for row in rows),
    }


def plain(value):
    """`value` as JSON knows it: numpy becomes lists and numbers, NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def write_atomically(path, data: str | bytes) -> None:
    """Writes `data` under a temporary name beside `path` and renames it: after a crash the file is old or new.

    Raises:
        UserError: it cannot be written, for want of room for example.
    """
    path = Path(path)
    # A file name that is no UTF-8 reaches us as a lone surrogate: JSON knows its escape, a text shows it.
    data = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk.writing(path, len(data)):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_results(run_dir, results: Mapping) -> None:
    """Writes run_dir/results.json (strict JSON, no NaN)."""
    text = json.dumps(plain(results), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(Path(run_dir) / "results.json", text + "\n")


def read_results(run_dir) -> dict:
    """The content of run_dir/results.json; a UserError names the file if it is missing, damaged or something else."""
    path = Path(run_dir) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not there; is this a run folder, and has the run finished?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the same command again to write it anew") from None
    missing = [key for key in ("accuracy", "per_class") if not isinstance(results, dict) or key not in results]
    if missing:
        raise UserError(f"{path}: no {missing[0]!r} in it, so it is not the results file of a run")
    return results


def write_history(run_dir, rows: Iterable[Mapping]) -> None:
    """Writes run_dir/metrics.csv, one line a row; columns in order of first appearance, None is an empty cell."""
    rows = [plain(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(Path(run_dir) / "metrics.csv", text.getvalue() if rows else "")


def read_history(run_dir) -> list[dict]:
    """The rows of run_dir/metrics.csv with numbers as floats and empty cells as None; [] without the file."""
    path = Path(run_dir) / "metrics.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{key: _cell(text) for key, text in row.items() if key} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the same command again to write it anew") from None


def _cell(text: str | None):
    try:
        return float(text) if text else None
    except ValueError:
        return text


def write_predictions(run_dir, predictions: Predictions) -> None:
    """Writes run_dir/predictions.npz (labels int64, predicted int64, confidence float32); equal input, equal bytes."""
    data = io.BytesIO()
    np.savez(data, **vars(predictions))
    write_atomically(Path(run_dir) / "predictions.npz", data.getvalue())


def read_predictions(run_dir) -> Predictions:
    """The `Predictions` in run_dir/predictions.npz; a UserError names the file if it is missing or damaged."""
    path = Path(run_dir) / "predictions.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(arrays["labels"], arrays["predicted"], arrays["confidence"])
    except FileNotFoundError:
        raise UserError(f"{path}: not there; is this a run folder, and has the run finished?") from None
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read ({error}); run the same command again to write it anew") from None
