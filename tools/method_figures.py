"""Figures of a method for README's table: printed ones from the row files, measured ones from docs/results/methods."""

import functools
import json
import re
from pathlib import Path

from cmo_tf import config as configuration

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results/methods"


def printed() -> dict[str, str]:
    """Method -> "38.6 (CIFAR-100-LT ratio 100, Table 2)", of the row file that has the method plainest."""
    return {method: text for method, (_, text, _) in _plainest().items()}


def row_files() -> dict[str, Path]:
    """Method -> the row file of that figure."""
    return {method: path for method, (_, _, path) in _plainest().items()}


def first_line(path) -> list[str]:
    """Table, data, method and printed figures of a row file."""
    with open(path, encoding="utf-8") as file:
        return [part.strip() for part in file.readline().lstrip("# ").split("|")]


@functools.cache
def _plainest() -> dict[str, tuple]:
    found = {}
    for path in sorted((ROOT / "flags").glob("*table*/*.cfg")):
        parts = first_line(path)
        figure = re.search(r"all=([\d.]+)", parts[3])
        config = configuration.parse([f"--flagfile={path}"])[0]
        # No mixer before one, CIFAR before large sets, ratio 100 before 50, the paper before its supplement.
        order = (config.mix not in ("none", "mixup"), parts[1].split(" ratio")[0], -(config.imbalance_ratio or 0),
                 parts[0].startswith("S"))
        if figure and (config.method not in found or order < found[config.method][0]):
            mixed = f", {parts[2]}" if order[0] else ""
            text = f"{figure[1]} ({parts[1]}, {parts[0].removeprefix('Paper ')}{mixed})"
            found[config.method] = (order, text, path)
    return found


def measured(dataset: str, method: str) -> str:
    """All-class accuracy of the row DATASET_METHOD of docs/results/methods, or "not run"."""
    path = RESULTS / f"{dataset}_{method}" / "results.json"
    if not path.exists():
        return "" if method == "plain" else "not run"
    return f"{json.loads(path.read_text(encoding='utf-8'))['accuracy']['all']:.2f}"
