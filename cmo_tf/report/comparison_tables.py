"""The tables of a comparison of runs, plain texts."""

import numpy as np

from cmo_tf.evaluation.estimates import Estimate, estimate
from cmo_tf.long_tail import GROUPS
from cmo_tf.report.comparison import COLUMNS, Comparison, Setting, differing_flags, gain
from cmo_tf.report.report_tables import MAX_CLASS_ROWS, NONE, Table, percent

MAX_FLAGS = 6  # more columns are wider than a page


def accuracy_table(comparison: Comparison) -> Table:
    """A row a setting: accuracies with their spread over seeds, the best epoch."""
    several = any(len(setting.runs) > 1 for setting in comparison.settings)
    header = ["setting", *(["seeds"] if several else []), "all", *(["95 % of all"] if several else []), *GROUPS,
              "best epoch"]
    rows = []
    for setting in comparison.settings:
        every, *found = [estimate(setting.values("accuracy", group)) for group in COLUMNS]
        cells = [str(len(setting.runs)), _mean(every), _interval(every)] if several else [_mean(every)]
        rows.append([setting.name, *cells, *map(_mean, found), _best(setting)])
    return Table("Accuracy by shot group", header, rows, numbers=range(1, len(header)))


def gain_table(comparison: Comparison) -> Table:
    """A row a setting but the baseline: points gained in each group."""
    rows = [[setting.name, *(_gain(setting, comparison, group) for group in COLUMNS)]
            for setting in comparison.settings if setting is not comparison.baseline]
    return Table(f"Gain over {comparison.baseline.name}", ["setting", *COLUMNS], rows, numbers=range(1, 5))


def calibration_table(comparison: Comparison) -> Table:
    """A row a setting: ECE, MCE, over-confidence by shot group; a fitted temperature and the ECE before it."""
    scaled = any(_temperatures(setting) for setting in comparison.settings)
    header = ["setting", "ECE %", "MCE %", *(f"over-confidence {group}" for group in COLUMNS),
              *(["temperature", "ECE % before"] if scaled else [])]
    rows = []
    for setting in comparison.settings:
        errors = [_mean(estimate([100 * value for value in setting.scalars(key)])) for key in ("ece", "mce")]
        sure = [_mean(estimate([100 * value for value in setting.values("overconfidence", group)]), signed=True)
                for group in COLUMNS]
        before = [100 * c["test"]["before"]["ece"] for c in setting.scalars("calibration")]
        more = [_mean(estimate(_temperatures(setting))), _mean(estimate(before))] if scaled else []
        rows.append([setting.name, *errors, *sure, *more])
    return Table("Calibration", header, rows, numbers=range(1, len(header)))


def _temperatures(setting: Setting) -> list[float]:
    found = (calibration["temperature"] for calibration in setting.scalars("calibration"))
    return [value for value in found if value is not None]


def flag_table(comparison: Comparison) -> Table:
    """The flags in which settings differ, a column each; where these are many, what each setting has other than the
    baseline. No rows where there are none."""
    names = differing_flags(comparison.settings)
    if len(names) > MAX_FLAGS:
        return _flags_in_lines(comparison, names)
    rows = [[setting.name, *(_flag(setting.flags.get(name)) for name in names)] for setting in comparison.settings]
    return Table("Flags that differ", ["setting", *names], rows if names else [])


def _flags_in_lines(comparison: Comparison, names: list[str]) -> Table:
    baseline, rows = comparison.baseline, []
    for setting in comparison.settings:
        own = [name for name in names if setting is baseline or setting.flags.get(name) != baseline.flags.get(name)]
        rows.append([setting.name, ", ".join(f"{name} {_flag(setting.flags.get(name))}" for name in own)])
    return Table(f"Flags that differ from those of {baseline.name}", ["setting", "flags"], rows)


def class_table(comparison: Comparison) -> Table:
    """Accuracy of every class in every setting, most training images first."""
    rows = comparison.baseline.runs[0].results["per_class"]
    order = sorted(range(len(rows)), key=lambda k: -rows[k]["train_count"])[:MAX_CLASS_ROWS]
    columns = [setting.class_accuracy() for setting in comparison.settings]
    cells = [[str(rows[k]["name"]), str(rows[k].get("group", "")), f"{rows[k]['train_count']:,}",
              *(percent(None if np.isnan(column[k]) else column[k]) for column in columns)] for k in order]
    header = ["class", "group", "training images", *(setting.name for setting in comparison.settings)]
    return Table("Accuracy of every class", header, cells, numbers=range(2, len(header)), folded=True)


def run_table(comparison: Comparison) -> Table:
    """Every run with what it took."""
    rows = []
    for setting in comparison.settings:
        for run in setting.runs:
            seconds, speed = run.results.get("seconds"), run.results.get("images_per_second")
            rows.append([run.folder, setting.name, *(str(run.results.get(key, NONE)) for key in
                                                     ("seed", "epochs", "steps")),
                         percent(run.results["accuracy"]["all"]), NONE if seconds is None else f"{seconds / 60:.1f}",
                         NONE if speed is None else f"{speed:,.0f}",
                         str(run.results.get("split_fingerprint") or NONE)[:12]])
    header = ["folder", "setting", "seed", "epochs", "steps", "all", "minutes", "images/s", "split fingerprint"]
    return Table("Runs", header, rows, numbers=range(2, 8), folded=True)


def _mean(found: Estimate | None, signed: bool = False) -> str:
    if found is None:
        return NONE
    return found.shown(1, signed=True) if signed else found.shown()


def _interval(found: Estimate | None) -> str:
    if found is None or found.half is None:
        return NONE
    # No accuracy lies outside, whatever two seeds alone would allow.
    return f"[{max(found.mean - found.half, 0):.2f}, {min(found.mean + found.half, 100):.2f}]"


def _gain(setting: Setting, comparison: Comparison, group: str) -> str:
    found = gain(setting, comparison.baseline, group)
    if found is None:
        return NONE
    interval = "" if found.half is None else f" [{found.mean - found.half:+.2f}, {found.mean + found.half:+.2f}]"
    return f"{found.mean:+.2f}{interval}"


def _best(setting: Setting) -> str:
    """All-class accuracy of the best epochs."""
    best = [(run.results.get("best") or {}).get("accuracy") or {} for run in setting.runs]
    return _mean(estimate([b["all"] for b in best if b.get("all") is not None]))


def _flag(value) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return NONE if value is None else str(value)
