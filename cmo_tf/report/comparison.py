"""Several runs side by side: which belong together as seeds of one setting, what separates settings, and by how much.

Made from results.json alone, so that kept folders without checkpoints or predictions do. report_html.py and
comparison_report.py show it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.estimates import Estimate, difference
from cmo_tf.long_tail import GROUPS
from cmo_tf.report import studies
from cmo_tf.report.results import read_results

COLUMNS = ("all", *GROUPS)
# Flags that change no figure: where files are, how much is kept in memory, how often a run is saved.
IDLE = {"run_dir", "data_dir", "mode", "input", "output", "top", "format", "download", "cache", "data_service",
        "eval_batch_size", "checkpoint_every", "checkpoint_every_steps", "worker_hosts", "worker_index",
        "worker_timeout"}


@dataclass(frozen=True)
class Run:
    """A finished run: the name of its folder, its results.json, its flags but for IDLE ones and the seed."""

    name: str
    folder: str
    results: Mapping
    flags: Mapping
    seed: object


@dataclass(frozen=True)
class Setting:
    """Runs that differ in the seed only, in the order of their seeds."""

    name: str
    runs: Sequence[Run]

    @property
    def flags(self) -> Mapping:
        """The flags that its runs share."""
        return self.runs[0].flags

    def values(self, key: str, group: str) -> list[float]:
        """`results[key][group]` of the runs that have it."""
        found = ((run.results.get(key) or {}).get(group) for run in self.runs)
        return [value for value in found if value is not None]

    def scalars(self, key: str) -> list[float]:
        """`results[key]` of the runs that have it."""
        return [run.results[key] for run in self.runs if run.results.get(key) is not None]

    def class_accuracy(self) -> np.ndarray:
        """Mean accuracy of every class in percent, float64 (C,); NaN for one without test images."""
        rows = [[np.nan if row["accuracy"] is None else row["accuracy"] for row in run.results["per_class"]]
                for run in self.runs]
        return np.asarray(rows, np.float64).mean(axis=0)

    def reliability(self) -> dict | None:
        """Reliability bins over the test images of all its runs together; None where results.json has none."""
        bins = [run.results["reliability"] for run in self.runs if run.results.get("reliability")]
        if not bins:
            return None
        count = np.sum([b["count"] for b in bins], axis=0)
        sums = {key: np.sum([np.multiply(b["count"], b[key]) for b in bins], axis=0)
                for key in ("accuracy", "confidence")}
        return {"count": count} | {key: value / np.maximum(count, 1) for key, value in sums.items()}


@dataclass(frozen=True)
class Comparison:
    """Settings in the order in which they were named, the one that gains are relative to, and what must be said."""

    settings: Sequence[Setting]
    baseline: Setting
    notes: Sequence[str]


def read(folders: Sequence[str], defaults: Mapping) -> tuple[list[Run], list[str]]:
    """The runs of folders and of studies (FILE.jsonl, FILE.jsonl:NAME), and a line for each path that was left out: a
    plain file, an unfinished run, a repetition.

    Args:
        defaults: flag -> value of all flags: what a run from before a flag was there had.

    Raises:
        UserError: a folder is not there, or a results.json is damaged.
    """
    runs, left_out, seen = [], [], set()
    for folder in folders:
        folder = os.path.normpath(folder)
        if (study := studies.split(folder)) and not os.path.isdir(folder):
            runs += [run for run in _of_study(*study, defaults) if run.folder not in seen]
            seen.update(run.folder for run in runs)
            continue
        if not os.path.lexists(folder):
            raise UserError(f"{folder}: not there; name run folders, such as runs/*")
        if not os.path.isdir(folder) or not os.path.exists(os.path.join(folder, "results.json")):
            left_out.append(f"{folder}: left out, no finished run (results.json)")
        elif os.path.realpath(folder) not in seen:
            seen.add(os.path.realpath(folder))
            runs.append(_run(folder, os.path.basename(os.path.abspath(folder)), read_results(folder), defaults))
    return runs, left_out


def _of_study(file: str, name: str | None, defaults: Mapping) -> list[Run]:
    """The run of a name, or all, of a study."""
    kept = studies.read(file)
    if name is not None and name not in kept:
        raise UserError(f"{file}:{name}: no such run; there are {', '.join(kept)}")
    return [_run(f"{file}:{run}", run, results, defaults) for run, results in kept.items() if name in (None, run)]


def _run(folder: str, name: str, results: Mapping, defaults: Mapping) -> Run:
    flags = {**defaults, **(results.get("flags") or {})}
    # JSON has no tuples.
    flags = {k: tuple(v) if isinstance(v, list) else v for k, v in flags.items() if k not in {*IDLE, "seed"}}
    return Run(name, folder, results, flags, results.get("seed"))


def compare(runs: Sequence[Run], baseline: str | None = None) -> Comparison:
    """Groups runs into settings and checks that they can be compared.

    Args:
        runs: at least two.
        baseline: name of the setting, or of a run of it, that gains are relative to; the first by default.

    Raises:
        UserError: too few runs, runs on different test sets, or no setting named `baseline`.
    """
    if len(runs) < 2:
        raise UserError(f"{len(runs)} finished run{'s' * (len(runs) != 1)}: name at least two to compare")
    notes = _check_data(runs)
    settings, repeated = _settings(runs)
    notes += [f"{again.folder} repeats {first.folder}, flags and seed, and was left out." for again, first in repeated]
    chosen = settings[0]
    if baseline is not None:
        wanted = os.path.basename(os.path.normpath(baseline))
        fitting = [s for s in settings if wanted in (s.name, *(run.name for run in s.runs))]
        if not fitting:
            raise UserError(f"--baseline={baseline}: there are {', '.join(s.name for s in settings)}")
        chosen = fitting[0]
    return Comparison(settings, chosen, notes)


def _check_data(runs: Sequence[Run]) -> list[str]:
    """Refuses another test set; says where the training images differ."""
    first, notes = runs[0], []
    for run in runs[1:]:
        for what, of in (("data sets", _set), ("classes", _classes), ("test images", _tested)):
            if of(run) != of(first):
                raise UserError(f"{run.folder} and {first.folder} were tested on different {what} ({_short(of(run))} "
                                f"and {_short(of(first))}); compare runs of one test set")
        one, other = (results.results.get("test_fingerprint") for results in (run, first))
        if one and other and one != other:
            raise UserError(f"{run.folder} and {first.folder} were tested on different test images (fingerprints "
                            f"{one[:12]} and {other[:12]}; their split.csv list them); compare runs of one test set")
    prints = {run.results.get("split_fingerprint") for run in runs}
    if len(prints) > 1:
        others = [run.name for run in runs if run.results.get("split_fingerprint")
                  != first.results.get("split_fingerprint")]
        shown = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
        notes.append(f"Not all runs were trained on the same images: {shown} had another training split than "
                     f"{first.name} (split fingerprints). Differences are due to the data, too, and the shot groups "
                     "may hold other classes.")
    return notes


def _set(run: Run) -> str:
    """The data set; a folder is told by its classes and test images, since it may lie elsewhere."""
    name = str(run.flags.get("dataset"))
    return "own pictures" if name.startswith(("folder:", "csv:")) else name.removeprefix("tfds:")


def _classes(run: Run) -> list[str]:
    return [row["name"] for row in run.results["per_class"]]


def _tested(run: Run) -> list[int]:
    return [row["test_count"] for row in run.results["per_class"]]


def _short(value) -> str:
    if not isinstance(value, list):
        return value
    return f"{sum(value)} images" if value and isinstance(value[0], int) else f"{len(value)} classes"


def _settings(runs: Sequence[Run]) -> tuple[list[Setting], list[tuple[Run, Run]]]:
    """Settings, and (repeated run, the one it repeats)."""
    groups, repeated = {}, []
    for run in runs:
        key = repr(sorted(run.flags.items())), run.results.get("split_fingerprint")
        members = groups.setdefault(key, [])
        same = next((other for other in members if other.seed == run.seed), None)
        if same:
            repeated.append((run, same))
        else:
            members.append(run)
    names = _names(list(groups.values()))
    return [Setting(name, sorted(members, key=lambda run: (run.seed is None, run.seed)))
            for name, members in zip(names, groups.values(), strict=True)], repeated


def _names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A name for each group: that of its folders without `-s<seed>`, with the folder above where two are alike."""
    names = []
    for members in groups:
        stems = {re.sub(r"[-_]s\d+$", "", run.name) for run in members}
        names.append(stems.pop() if len(members) > 1 and len(stems) == 1 else members[0].name)
    alike = {name for name in names if names.count(name) > 1}
    names = [f"{os.path.basename(os.path.dirname(os.path.abspath(members[0].folder)))}/{name}"
             if name in alike else name for name, members in zip(names, groups, strict=True)]
    return [members[0].folder if names.count(name) > 1 else name for name, members in zip(names, groups, strict=True)]


def differing_flags(settings: Sequence[Setting]) -> list[str]:
    """Names of the flags that are not the same in all settings, in the order of the first one's."""
    names = dict.fromkeys(name for setting in settings for name in setting.flags)
    return [name for name in names if len({repr(setting.flags.get(name)) for setting in settings}) > 1]


def gain(setting: Setting, baseline: Setting, group: str) -> Estimate | None:
    """How much more accurate a setting is, in points of accuracy of {all, many, medium, few}.

    With the same seeds in both the interval is that of the paired differences, since a seed fixes the initial weights
    and the order of images.
    """
    ours, theirs = setting.values("accuracy", group), baseline.values("accuracy", group)
    paired = len(ours) == len(theirs) and [r.seed for r in setting.runs] == [r.seed for r in baseline.runs]
    return difference(ours, theirs, paired)
