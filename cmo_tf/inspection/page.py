"""What inspect.html and inspect.md say: a `Report` in the style of a run's own."""

from collections import Counter

import numpy as np

from cmo_tf.inspection import drawings
from cmo_tf.long_tail import GROUPS, shot_groups
from cmo_tf.report import class_plots
from cmo_tf.report.report import Figure, Report
from cmo_tf.report.report_tables import NONE, Table

ROWS = 200  # of a table of problems; inspect.json has all


def report(name, found, advice) -> Report:
    """The Report of `findings.Findings` and `command.Advice`."""
    rows = per_class(found, advice.thresholds)
    return Report(
        title=f"Inspection of {name}",
        subtitle=f"{advice.dataset} · {len(found.names)} classes · {int(found.counts.sum()):,} training and "
                 f"{int(found.tested.sum()):,} test images",
        headline=_headline(found, rows, advice), notes=_notes(found, advice), figures=_figures(found, rows, advice),
        tables=[Table("What stops the training", ["", ""], [[str(k), text] for k, text in
                                                            enumerate(found.stoppers, 1)]),
                Table("Suggested flags", ["flag", "why"], [[f"--{k}={_value(v)}", why] for k, v, why in advice.flags
                                                           if k != "dataset"]),
                _problems("Pictures that cannot be read", found.bad, "why"),
                _duplicates(found),
                _problems("Not read, though perhaps meant to be", found.ignored, "why"),
                _problems("Odd, but read", found.odd, "what"), _kinds(found), _classes(rows)])


def per_class(found, thresholds) -> list[dict]:
    """Rows as in results.json, without accuracies."""
    group = {int(k): name for name, places in shot_groups(found.counts, *thresholds).items() for k in places}
    return [{"class": k, "name": name, "group": group[k], "train_count": int(found.counts[k]),
             "test_count": int(found.tested[k]), "accuracy": None} for k, name in enumerate(found.names)]


def _value(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _headline(found, rows, advice):
    many, few = advice.thresholds
    words = {"many": f"classes of > {many} images", "medium": f"classes of {few} to {many}",
             "few": f"classes of < {few} images"}
    groups = Counter(row["group"] for row in rows)
    copies = sum(len(group.rows) - 1 for group in found.groups)
    across = sum(group.across for group in found.groups)
    cards = [("All", f"{len(found.pictures) or int(found.counts.sum() + found.tested.sum()):,}", "pictures"),
             *((name.capitalize(), str(groups[name]), words[name]) for name in GROUPS),
             ("Imbalance", f"{found.ratio:.3g}", "largest {:,}, smallest {:,} training images".format(
                 *(max(found.counts), min(found.counts)) if len(found.counts) else (0, 0)))]
    if found.pictures:
        cards += [("Bad", f"{len(found.bad):,}", "cannot be read"),
                  ("Copies", f"{copies:,}", f"equal or nearly; {across:,} groups in train and test")]
    return [*cards, ("Time", duration(advice.seconds) if advice.seconds else NONE, "training, estimated")]


def duration(seconds: float) -> str:
    """About how long, in words that do not promise more than an estimate can."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _notes(found, advice):
    notes = list(advice.notes)
    across = [group for group in found.groups if group.across]
    if across:
        notes.append(f"{len(across)} groups of equal or nearly equal pictures lie in train and in test: the network "
                     "has seen those test pictures, and the accuracy will flatter. Remove one side.")
    if any(group.labels > 1 for group in found.groups):
        notes.append("Some equal or nearly equal pictures carry several classes: of equal ones, a label is wrong.")
    if found.scale:
        notes.append(f"Among them are {found.scale}.")
    if found.hidden:
        notes.append(f"{found.hidden} hidden files or folders were passed over, as in training.")
    return notes


def _figures(found, rows, advice):
    figures = []
    if rows:
        figures.append(Figure("Training images of each class", "From the largest class to the smallest, in the colours "
                              "of the shot groups: the long tail.", class_plots.class_counts(rows)))
    sizes = np.array([(p.width, p.height) for p in found.readable]).reshape(-1, 2)
    if len({tuple(size) for size in sizes.tolist()}) > 1:
        figures.append(Figure("Size of the pictures", "Pixels of the shorter side, on a log scale. Larger pictures are "
                              "reduced to the image size, smaller ones enlarged.",
                              drawings.short_sides(sizes.min(axis=1), advice.side)))
        figures.append(Figure("Shape of the pictures", "Training takes the central square.",
                              drawings.aspects(sizes[:, 0] / sizes[:, 1])))
    return figures


def _problems(title, rows, word):
    shown = [[path, text] for path, text in rows[:ROWS]]
    more = f", the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else f" ({len(rows):,})"
    return Table(title + more, ["file", word], shown, folded=len(rows) > 20)


def _duplicates(found):
    rows = [[group.what, "  ".join(f"{found.where[row]} [{found.parts[row]}]" for row in group.rows[:6])
             + (f"  and {len(group.rows) - 6} more" if len(group.rows) > 6 else "")] for group in found.groups[:ROWS]]
    more = f", the first {ROWS} of {len(found.groups):,} groups" if len(found.groups) > ROWS else \
        f" ({len(found.groups):,} groups)"
    return Table("Equal and nearly equal pictures" + more, ["what", "files"], rows, folded=len(found.groups) > 20)


def _kinds(found):
    readable = found.readable
    if not readable:
        return Table("Pictures", ["", ""], [])
    widths, heights = (np.array([getattr(p, side) for p in readable]) for side in ("width", "height"))
    short = np.minimum(widths, heights)
    rows = [["width", f"{widths.min():,} to {widths.max():,}, half of them below {int(np.median(widths)):,}"],
            ["height", f"{heights.min():,} to {heights.max():,}, half of them below {int(np.median(heights)):,}"],
            ["shorter side", f"{short.min():,} to {short.max():,}, half of them below {int(np.median(short)):,}"],
            ["upright, square, lying", ", ".join(f"{int(n):,}" for n in ((heights > widths).sum(),
                                                                        (heights == widths).sum(),
                                                                        (heights < widths).sum()))]]
    for label, key in (("format", "format"), ("mode", "mode")):
        counted = Counter(getattr(p, key) for p in readable).most_common()
        rows.append([label, ", ".join(f"{name} {n:,}" for name, n in counted)])
    return Table("Sizes and kinds", ["", ""], rows)


def _classes(rows):
    ordered = sorted(rows, key=lambda row: -row["train_count"])[:1000]
    return Table("Every class", ["class", "name", "group", "training images", "test images"],
                 [[str(r["class"]), r["name"], r["group"], f"{r['train_count']:,}", f"{r['test_count']:,}"]
                  for r in ordered], numbers=(0, 3, 4), folded=len(ordered) > 20)
