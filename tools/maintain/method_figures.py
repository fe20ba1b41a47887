"""Figures of a method for docs/method_table.md: those that flags/paper prints, those that docs/results/methods has."""

import functools
from pathlib import Path

from cmo_tf import config as configuration
from cmo_tf.config import flagfile, flagtable
from cmo_tf.report import studies

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/results/methods/runs.jsonl"


def printed() -> dict[str, str]:
    """Method -> "38.6 (CIFAR-100-LT ratio 100, Table 2)", of the row that has the method plainest."""
    return {method: text for method, (_, text, _) in _plainest().items()}


def row_files() -> dict[str, str]:
    """Method -> the row of that figure, `flags/paper/table02.cfg:ce_ir100`."""
    return {method: place for method, (_, _, place) in _plainest().items()}


@functools.cache
def printed_rows() -> dict[str, flagtable.Row]:
    """Every row that the paper or its supplement prints, by its place `flags/paper/table02.cfg:ce_ir100`."""
    return {f"{path.relative_to(ROOT)}:{row.name}": row
            for path in sorted((ROOT / "flags/paper").glob("*.cfg")) for row in flagfile.table(str(path))}


@functools.cache
def _plainest() -> dict[str, tuple]:
    found = {}
    for place, row in sorted(printed_rows().items(), key=lambda item: item[1].table.startswith("S")):
        config = configuration.parse([f"--flagfile={ROOT / place}"])[0]
        # No mixer before one, CIFAR before large sets, ratio 100 before 50, the paper before its supplement.
        order = (config.mix not in ("none", "mixup"), row.data.split(" ratio")[0], -(config.imbalance_ratio or 0),
                 row.table.startswith("S"))
        if "all" in row.printed and (config.method not in found or order < found[config.method][0]):
            mixed = f", {row.title}" if order[0] else ""
            text = f"{row.printed['all']} ({row.data}, {row.table.removeprefix('Paper ')}{mixed})"
            found[config.method] = (order, text, place)
    return found


def measured(dataset: str, method: str) -> str:
    """All-class accuracy of the row DATASET_METHOD of docs/results/methods, or "not run"."""
    run = _runs().get(f"{dataset}_{method}")
    if run is None:
        return "" if method == "plain" else "not run"
    return f"{run['accuracy']['all']:.2f}"


@functools.cache
def _runs() -> dict[str, dict]:
    return studies.read(RESULTS)
