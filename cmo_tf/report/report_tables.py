"""The tables of a report: plain texts, made from results.json and predictions.npz."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cmo_tf.evaluation.metrics import Predictions, confusion_pairs
from cmo_tf.long_tail import GROUPS

NONE = "–"
MAX_CLASS_ROWS = 1000  # results.json has the rest


@dataclass(frozen=True)
class Table:
    """Plain texts, unescaped; `numbers` are the columns aligned to the right, `folded` tables open on demand."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    folded: bool = False


def percent(value: float | None, digits: int = 2) -> str:
    """A value that already is a percentage, without the sign; a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"


def rule(results: Mapping, name: str) -> str:
    """The shot group's definition as words, from the flags of the run."""
    flags = results.get("flags") or {}
    above, below = flags.get("many_above", 100), flags.get("few_below", 20)
    return {"many": f"> {above} images", "medium": f"{below} to {above} images", "few": f"< {below} images"}[name]


def group_table(results: Mapping) -> Table:
    """All, many, medium, few: accuracy, over-confidence and how much stands behind each."""
    sure, errors = results.get("overconfidence") or {}, results.get("group_ece") or {"all": results.get("ece")}
    sizes = results.get("groups") or {}
    rows = []
    for name in ("all", *GROUPS):
        size = sizes.get(name) or _totals(results)
        gap = sure.get(name)
        rows.append([name, percent(results["accuracy"].get(name)),
                     NONE if gap is None else f"{100 * gap:+.1f}",
                     percent(None if errors.get(name) is None else 100 * errors[name], 1),
                     *(f"{size[key]:,}" if name == "all" or name in sizes else NONE
                       for key in ("classes", "train_images", "test_images")),
                     "any" if name == "all" else rule(results, name)])
    header = ["group", "accuracy %", "over-confidence", "ECE %", "classes", "training images", "test images",
              "class has"]
    return Table("Shot groups", header, rows, numbers=range(1, 7))


def _totals(results: Mapping) -> dict:
    rows = results["per_class"]
    return {"classes": len(rows), "train_images": sum(row["train_count"] for row in rows),
            "test_images": sum(row["test_count"] for row in rows)}


def run_table(results: Mapping) -> Table:
    """What was run and what it took; what results.json does not have is left out."""
    times = ", ".join(map(str, results.get("resumed_from_steps") or [])) or "never"
    memory, seconds, speed = (results.get(key) for key in ("peak_rss_bytes", "seconds", "images_per_second"))
    percentages = [(key, results.get(key)) for key in ("macro", "micro")]
    rows = [[f"{name} accuracy %", percent(value)] for name, value in percentages if value is not None]
    rows += [[f"{name.upper()} %", percent(100 * results[name])] for name in ("ece", "mce")
             if results.get(name) is not None]
    rows += [[key, str(results[key])] for key in ("epochs", "steps", "seed") if results.get(key) is not None]
    rows += [["resumed from steps", times]]
    back = results.get("rollback")
    rows += [["went back", f"from step {back['from_step']} to {back['to_step']} ({back['what']}), and on with "
              f"{back['rate_factor']:g} times the learning rate"]] if back else []
    rows += [["wall time", _duration(seconds)]] if seconds is not None else []
    rows += [["training speed", f"{speed:,.0f} images/s"]] if speed is not None else []
    rows += [["peak memory", f"{memory / 2**20:,.0f} MiB"]] if memory is not None else []
    rows += [["split fingerprint", str(results["split_fingerprint"])]] if results.get("split_fingerprint") else []
    return Table("The run", ["", ""], rows)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def confused_table(results: Mapping, predictions: Predictions) -> Table:
    """The ten most frequent mistakes."""
    names = [row["name"] for row in results["per_class"]]
    tested = [row["test_count"] for row in results["per_class"]]
    wrong = [pair for pair in confusion_pairs(predictions.labels, predictions.predicted) if pair[0] != pair[1]][:10]
    rows = [[names[true], names[said], str(n), percent(100 * n / max(tested[true], 1), 1)] for true, said, n in wrong]
    return Table("Most frequent confusions", ["true class", "predicted", "images", "% of the class"], rows,
                 numbers=(2, 3), folded=True)


def class_table(results: Mapping) -> Table:
    """Every class, most training images first."""
    ordered = sorted(results["per_class"], key=lambda row: -row["train_count"])
    if len(ordered) > MAX_CLASS_ROWS:
        ordered = ordered[: MAX_CLASS_ROWS // 2] + ordered[-MAX_CLASS_ROWS // 2 :]
    shown = "" if len(ordered) == len(results["per_class"]) else f" (the {MAX_CLASS_ROWS} most extreme)"
    rows = [[str(row["class"]), str(row["name"]), str(row.get("group", "")), f"{row['train_count']:,}",
             f"{row['test_count']:,}", percent(row["accuracy"]) if row["test_count"] else "untested"]
            for row in ordered]
    header = ["class", "name", "group", "training images", "test images", "accuracy %"]
    return Table(f"Every class{shown}", header, rows, numbers=(0, 3, 4, 5), folded=True)


def mapping_table(title: str, key: str, values: Mapping | None) -> Table:
    """A plain mapping (flags, versions) as a folded table; empty without entries."""
    rows = [[str(name), "" if value is None else str(value)] for name, value in (values or {}).items()]
    return Table(title, [key, "value"], rows, folded=True)
