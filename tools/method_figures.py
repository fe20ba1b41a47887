"""Figures of a method for README's table: printed ones from the row files, measured ones from docs/results/methods."""

import json
import re
from pathlib import Path

from cmo_tf import config as configuration

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results/methods"


def printed() -> dict[str, str]:
    """Method -> "38.6 (CIFAR-100-LT ratio 100, Table 2)", of the row file that has the method plainest."""
    found = {}
    for path in sorted((ROOT / "flags").glob("*table*/*.cfg")):
        parts = [part.strip() for part in path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").split("|")]
        figure = re.search(r"all=([\d.]+)", parts[3])
        config = configuration.parse([f"--flagfile={path}"])[0]
        # No mixer before one, CIFAR before large sets, ratio 100 before 50, the paper before its supplement.
        order = (config.mix not in ("none", "mixup"), parts[1].split(" ratio")[0], -(config.imbalance_ratio or 0),
                 parts[0].startswith("S"))
        if figure and (config.method not in found or order < found[config.method][0]):
            mixed = f", {parts[2]}" if order[0] else ""
            found[config.method] = (order, f"{figure[1]} ({parts[1]}, {parts[0].removeprefix('Paper ')}{mixed})")
    return {method: text for method, (_, text) in found.items()}


def measured(dataset: str, method: str) -> str:
    """All-class accuracy of the row DATASET_METHOD of docs/results/methods, or "not run"."""
    path = RESULTS / f"{dataset}_{method}" / "results.json"
    if not path.exists():
        return "" if method == "plain" else "not run"
    return f"{json.loads(path.read_text(encoding='utf-8'))['accuracy']['all']:.2f}"
