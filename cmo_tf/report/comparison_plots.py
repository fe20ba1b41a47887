"""Drawings that set runs side by side. Each returns SVG text."""

from collections.abc import Sequence

import numpy as np

from cmo_tf.evaluation.estimates import estimate
from cmo_tf.long_tail import GROUPS
from cmo_tf.report.comparison import COLUMNS, Setting
from cmo_tf.report.svg import COLOURS, INK, drawing, one_line

MARKERS = {"all": "D", "many": "o", "medium": "s", "few": "^"}
MAX_ERROR_BARS = 20  # more classes: their spread over seeds would hide the points
NAME_LENGTH = 20


def accuracies(settings: Sequence[Setting]) -> str:
    """A row a setting with its accuracy of all classes and of each shot group; bars are 95 % intervals over seeds."""

    @drawing("Accuracy of all classes and by shot group, a row for each setting", height=_height(settings))
    def draw(figure):
        axes = figure.subplots()
        _rows(axes, settings, "accuracy", 1.0)
        axes.set(xlim=(-2, 102), xlabel="accuracy (%)")

    return draw()


def overconfidences(settings: Sequence[Setting]) -> str:
    """A row a setting with mean confidence minus accuracy, in points, of all images and of each shot group."""

    @drawing("Over-confidence of all images and by shot group, a row for each setting", height=_height(settings))
    def draw(figure):
        axes = figure.subplots()
        _rows(axes, settings, "overconfidence", 100.0)
        axes.axvline(0, color=INK, lw=0.8)
        axes.set(xlabel="mean confidence minus accuracy (points)")

    return draw()


def _height(settings: Sequence) -> float:
    return 1.15 + 0.36 * len(settings)


def _rows(axes, settings: Sequence[Setting], key: str, factor: float):
    for row, setting in enumerate(settings):
        for place, group in enumerate(COLUMNS):
            found = estimate([factor * value for value in setting.values(key, group)])
            if found is None:
                continue
            # A little apart, so that equal values do not cover each other.
            style = {"color": COLOURS[group], "marker": MARKERS[group], "ms": 6 if group == "all" else 5, "ls": "",
                     "elinewidth": 1.2, "capsize": 2.5, "mec": "none", "zorder": 4 - place}
            axes.errorbar(found.mean, row + (place - 1.5) * 0.13, xerr=found.half, **style)
    axes.set_yticks(range(len(settings)), [_short(setting.name) for setting in settings])
    axes.set_ylim(len(settings) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    for edge in np.arange(len(settings) - 1) + 0.5:
        axes.axhline(edge, color=INK, alpha=0.12, lw=0.6)
    _legend(axes, COLUMNS)


def _short(name: str) -> str:
    """A name that fits beside a row: names of runs differ at their ends as often as at their beginnings."""
    name = one_line(name, 200)
    return name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH // 2 - 1]}…{name[-NAME_LENGTH // 2:]}"


def _legend(axes, names: Sequence[str]):
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLOURS[name], marker=MARKERS[name], ls="", ms=5, label=name) for name in names]
    axes.legend(handles=handles, ncols=len(handles), loc="lower center", bbox_to_anchor=(0.5, 1.0), handletextpad=0.1,
                columnspacing=1.2)


def class_gains(setting: Setting, baseline: Setting) -> str:
    """Gain in accuracy of every class over the baseline against its training images; lines are means of the groups."""

    @drawing("Gain in accuracy of each class against its training images", height=2.9)
    def draw(figure):
        axes = figure.subplots()
        rows = setting.runs[0].results["per_class"]
        counts = np.asarray([row["train_count"] for row in rows], np.float64)
        groups = np.asarray([row.get("group", "") for row in rows])
        gains = setting.class_accuracy() - baseline.class_accuracy()
        axes.axhline(0, color=INK, lw=0.8)
        for name in GROUPS:
            mine = (groups == name) & ~np.isnan(gains)
            if mine.any():
                _points(axes, counts[mine], gains[mine], name)
        low, high = np.nanmin(gains, initial=-1.0), np.nanmax(gains, initial=1.0)
        room = 0.08 * (high - low)
        axes.set(ylim=(low - room, high + room), xlabel="training images of the class", ylabel="gain (points)")
        _count_axis(axes, counts)
        axes.grid(axis="y")
        _legend(axes, [name for name in GROUPS if (groups == name).any()])

    return draw()


def _points(axes, counts, gains, name: str):
    faint = 1.0 if len(gains) <= MAX_ERROR_BARS else 0.55
    axes.plot(counts, gains, MARKERS[name], color=COLOURS[name], ms=5 if faint == 1 else 3.5, mec="none", alpha=faint)
    low, high = max(counts.min(), 0.7), max(counts.max(), 0.7)
    low, high = (low / 1.15, high * 1.15) if low == high else (low, high)
    axes.plot([low, high], [gains.mean()] * 2, color=COLOURS[name], lw=1.6, alpha=0.8, zorder=1)


def _count_axis(axes, counts):
    """A log scale with whole numbers, from most to fewest images as in every other drawing."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if counts.min() < 1:
        axes.set_xscale("symlog")
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if counts.max() < 300 * counts.min() else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.invert_xaxis()
