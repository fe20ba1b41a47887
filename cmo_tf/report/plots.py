"""Drawings of a report that look at the whole: groups, calibration, training curves. Each returns SVG text."""

from collections.abc import Mapping, Sequence

import numpy as np

from cmo_tf.long_tail import GROUPS
from cmo_tf.report.svg import COLOURS, INK, drawing


@drawing("Accuracy of all classes and by shot group", height=1.9)
def group_accuracy(figure, accuracy: Mapping):
    """Bars of {all, many, medium, few} in percent."""
    axes = figure.subplots()
    _group_bars(axes, accuracy, "{:.1f}")
    # Every bar stands on a pale one of 100 %; beyond it there is room for the number of a full bar.
    axes.barh(range(4), 100, color=INK, alpha=0.06, height=0.62, zorder=0)
    axes.set(xlim=(0, 112), xticks=range(0, 101, 20), xlabel="accuracy (%)")
    axes.spines["bottom"].set_bounds(0, 100)


@drawing("Over-confidence of all classes and by shot group", height=1.9)
def group_overconfidence(figure, gaps: Mapping):
    """Bars of mean confidence minus accuracy of {all, many, medium, few}, given in [-1, 1] and drawn in points."""
    axes = figure.subplots()
    points = {name: None if gaps.get(name) is None else 100 * gaps[name] for name in ("all", *GROUPS)}
    _group_bars(axes, points, "{:+.1f}")
    values = [value for value in points.values() if value is not None]
    low, high = min([0, *values]), max([0, *values])
    room = 0.16 * max(high - low, 1)
    axes.set(xlim=(low - room * (low < 0), high + room), xlabel="mean confidence minus accuracy (points)")
    axes.axvline(0, color=INK, lw=0.8)


@drawing("Reliability diagram: accuracy against confidence in 15 bins, and the share of images in each", height=4.4)
def reliability(figure, bins: Mapping):
    """Accuracy of 15 confidence bins, the gap to the confidence, and below how many images each holds.

    Args:
        bins: {count, accuracy, confidence}, 15 entries each, as in results.json.
    """
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    count, right, sure = (np.asarray(bins[key], float) for key in ("count", "accuracy", "confidence"))
    left, used, box = np.arange(len(count)) / len(count), count > 0, {"width": 0.92 / len(count), "align": "edge"}
    meet = np.minimum(right, sure)
    axes.bar(left[used], meet[used], color=COLOURS["many"], label="accuracy", **box)
    for name, colour, gap in (("too sure", "few", sure - right), ("too unsure", "medium", right - sure)):
        # Bars of no height too: the legend takes its colour from them.
        height = np.maximum(gap, 0)[used]
        axes.bar(left[used], height, bottom=meet[used], color=COLOURS[colour], alpha=0.55, label=name, **box)
    axes.plot([0, 1], [0, 1], color=INK, lw=0.9, ls=(0, (4, 3)))
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.legend(loc="upper left", handlelength=1.2, handleheight=0.9)
    axes.grid(axis="y")
    below.bar(left, 100 * count / max(count.sum(), 1), color=INK, alpha=0.55, **box)
    below.set(xlabel="confidence", ylabel="images (%)")


@drawing("Accuracy against the epoch", height=3.2)
def accuracy_curves(figure, history: Sequence[Mapping]):
    """Accuracy of {all, many, medium, few} after each evaluated epoch."""
    axes = figure.subplots()
    for name in ("all", *GROUPS):
        _curve(axes, history, name, color=COLOURS[name], lw=2 if name == "all" else 1.4)
    axes.set(ylim=(0, 100), xlabel="epoch", ylabel="accuracy (%)")
    axes.grid(axis="y")
    if axes.lines:
        axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.4, columnspacing=1.2)


@drawing("Training loss and learning rate against the epoch", height=3.2)
def loss_curves(figure, history: Sequence[Mapping]):
    """Training loss and learning rate of each epoch, one above the other."""
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _curve(top, history, "loss", color=COLOURS["many"], lw=1.6)
    _curve(bottom, history, "lr", color=INK, lw=1.2, alpha=0.75)
    top.set_ylabel("training loss")
    bottom.set(xlabel="epoch", ylabel="learning rate")
    for axes in (top, bottom):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")


def _group_bars(axes, values: Mapping, form: str):
    """One horizontal bar a group with its number behind it; a group without classes says so."""
    for row, name in enumerate(("all", *GROUPS)):
        value = values.get(name)
        axes.barh(row, value or 0, color=COLOURS[name], alpha=0.75 if name == "all" else 1, height=0.62)
        side = -1 if (value or 0) < 0 else 1
        axes.annotate("no classes" if value is None else form.format(value), (value or 0, row), (4 * side, 0),
                      textcoords="offset points", va="center", ha="left" if side > 0 else "right",
                      fontweight="normal" if value is None else "bold")
    axes.set_yticks(range(4), ["all", *GROUPS])
    axes.set_ylim(3.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _curve(axes, history: Sequence[Mapping], key: str, **style):
    points = [(row.get("epoch", k + 1), row[key]) for k, row in enumerate(history)
              if isinstance(row.get(key), (int, float))]
    if points:
        axes.plot(*zip(*points, strict=True), label=key, marker="o" if len(points) < 25 else None, ms=3, **style)
        axes.xaxis.get_major_locator().set_params(integer=True)
