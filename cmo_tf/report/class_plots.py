"""Drawings of a report with a class axis, most frequent class first. Each returns SVG text.

`per_class` is the list of results.json: {class, name, group, train_count, test_count, accuracy}.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cmo_tf.evaluation.metrics import confusion_matrix, mean_or_none
from cmo_tf.long_tail import GROUPS
from cmo_tf.report.svg import COLOURS, INK, WHITE, drawing, one_line

MAX_NAMES = 20  # classes that get their name on an axis
MAX_BARS = 120  # more classes are drawn as means over neighbours
MAX_CELLS = 50  # more classes make the confusion matrix an image
IMAGE_BLUE = "#2b80cc"  # an image cannot follow the page's colours: this shows on white and on black


@drawing("Accuracy of each class, classes sorted by training images, with the number of training images")
def class_accuracy(figure, per_class: Sequence[Mapping]):
    """Bars of per-class accuracy from the most to the least frequent class; the counts as a line, log scale."""
    axes = figure.subplots()
    bars = _merged(_by_count(per_class))
    x = np.arange(len(bars))
    axes.bar(x, [bar["accuracy"] or 0 for bar in bars], color=[_colour(bar) for bar in bars], width=_bar_width(bars))
    untested = [k for k, bar in enumerate(bars) if bar["accuracy"] is None]
    axes.plot(untested, np.full(len(untested), 1.5), "x", color=INK, ms=4)
    axes.set(ylim=(0, 100), ylabel="accuracy (%)")
    axes.grid(axis="y")
    counts = axes.twinx()
    style = {"ds": "steps-mid", "lw": 1} if len(bars) > MAX_NAMES else {"marker": "o", "ms": 3, "lw": 1}
    counts.plot(x, [bar["train_count"] or np.nan for bar in bars], color=INK, **style)
    _count_scale(counts, bars, "training images")
    counts.spines["right"].set_visible(True)
    _class_axis(axes, bars, len(per_class))
    _group_legend(axes, bars)


@drawing("Training images of each class")
def class_counts(figure, per_class: Sequence[Mapping]):
    """Bars of the training images of each class, from most to least, on a log scale when they differ tenfold."""
    axes = figure.subplots()
    bars = _merged(_by_count(per_class))
    counts = [bar["train_count"] for bar in bars]
    axes.bar(np.arange(len(bars)), counts, color=[_colour(bar) for bar in bars], width=_bar_width(bars))
    axes.grid(axis="y")
    _count_scale(axes, bars, "training images")
    _class_axis(axes, bars, len(per_class))
    _group_legend(axes, bars)


@drawing("Confusion matrix, each row scaled to its true class", height=4.4)
def confusion(figure, labels, predicted, per_class: Sequence[Mapping]):
    """Share of each true class (row) that is predicted as each class (column), most frequent class first.

    Up to 50 classes as cells, with the percentages written in up to 12; beyond as an image, neighbours merged
    beyond 120.
    """
    axes = figure.subplots()
    order = _by_count(per_class)
    bars = _merged(order)
    share = _row_shares(labels, predicted, order, len(bars))
    (_cells if len(bars) <= MAX_CELLS else _image)(axes, share)
    axes.set(xlim=(-0.5, len(bars) - 0.5), ylim=(len(bars) - 0.5, -0.5), aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(True)
    names = _ticks(bars, len(per_class))
    axes.set_xticks(*names, rotation=45 if len(bars) <= MAX_NAMES else 0,
                    ha="right" if len(bars) <= MAX_NAMES else "center", rotation_mode="anchor")
    axes.set_yticks(*names)
    axes.set(xlabel="predicted", ylabel="true")


def _by_count(per_class: Sequence[Mapping]) -> list[Mapping]:
    return sorted(per_class, key=lambda row: -row["train_count"])


def _merged(rows: list[Mapping]) -> list[Mapping]:
    """At most MAX_BARS rows: neighbours in frequency are merged to the means of what they have."""
    if len(rows) <= MAX_BARS:
        return rows
    merged = []
    for part in np.array_split(np.arange(len(rows)), MAX_BARS):
        members = [rows[k] for k in part]
        accuracy = [np.nan if row["accuracy"] is None else row["accuracy"] for row in members]
        merged.append(members[len(members) // 2] | {
            "accuracy": mean_or_none(accuracy), "train_count": float(np.mean([row["train_count"] for row in members]))})
    return merged


def _row_shares(labels, predicted, order: list[Mapping], size: int) -> np.ndarray:
    """Confusion matrix over `size` runs of classes in the given order, rows summing to 1 (or 0), float64."""
    place = np.zeros(len(order), np.int64)
    for run, part in enumerate(np.array_split(np.arange(len(order)), max(size, 1))):
        place[[order[k]["class"] for k in part]] = run
    matrix = confusion_matrix(place[np.asarray(labels)], place[np.asarray(predicted)], size).astype(float)
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _opacity(share: np.ndarray) -> np.ndarray:
    """Rare confusions stay visible: the root lifts small shares."""
    return np.sqrt(share)


def _cells(axes, share: np.ndarray):
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    rows, columns = np.nonzero(share)
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    alpha = _opacity(share[rows, columns])
    colours = [to_rgba(COLOURS["heat"], a) for a in alpha]
    axes.add_collection(PolyCollection(np.stack([columns, rows], axis=1)[:, None] + corners, facecolors=colours))
    if len(share) <= 12:
        for row, column, a in zip(rows, columns, alpha, strict=True):
            axes.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", fontsize=8,
                      color=WHITE if a > 0.6 else INK)


def _image(axes, share: np.ndarray):
    from matplotlib.colors import to_rgb

    # Enlarged here, since not every viewer keeps the edges of enlarged pixels.
    alpha = np.kron(_opacity(share), np.ones((4, 4)))
    pixels = np.dstack([np.broadcast_to(to_rgb(IMAGE_BLUE), (*alpha.shape, 3)), alpha])
    edge = len(share) - 0.5
    axes.imshow(np.round(255 * pixels).astype(np.uint8), extent=(-0.5, edge, edge, -0.5), interpolation="none")


def _colour(row: Mapping) -> str:
    return COLOURS.get(row.get("group"), INK)


def _bar_width(bars: Sequence) -> float:
    return 0.8 if len(bars) <= MAX_NAMES else 1.0


def _count_scale(axes, bars: Sequence[Mapping], label: str):
    """A log scale when the counts differ tenfold: on a linear one the tail would not be seen."""
    counts = [bar["train_count"] for bar in bars]
    axes.set_ylim(bottom=0)
    if max(counts, default=0) >= 10 * max(min(counts, default=0), 1):
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.yaxis.set_minor_formatter(lambda *_: "")
        axes.tick_params(axis="y", which="minor", length=0)
        label += ", log scale"
    axes.set_ylabel(label)


def _ticks(bars: Sequence[Mapping], num_classes: int) -> tuple[list, list[str]]:
    """Places and texts of the class axis: names when they fit, otherwise some ranks."""
    if len(bars) <= MAX_NAMES:
        return list(range(len(bars))), [one_line(bar["name"]) for bar in bars]
    places = np.unique(np.linspace(0, len(bars) - 1, 6).astype(int))
    return list(places), [str(1 + place * (num_classes - 1) // (len(bars) - 1)) for place in places]


def _class_axis(axes, bars: Sequence[Mapping], num_classes: int):
    places, texts = _ticks(bars, num_classes)
    slanted = len(bars) <= MAX_NAMES and (len(bars) > 10 or max(map(len, texts), default=0) > 4)
    axes.set_xticks(places, texts, **({"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}))
    axes.set_xlim(-0.6, len(bars) - 0.4)
    if len(bars) > MAX_NAMES:
        axes.set_xlabel("class rank, most to fewest training images")


def _group_legend(axes, bars: Sequence[Mapping]):
    from matplotlib.patches import Patch

    present = [name for name in GROUPS if any(bar.get("group") == name for bar in bars)]
    if present:
        axes.legend(handles=[Patch(color=COLOURS[name], label=name) for name in present], ncols=3, loc="lower center",
                    bbox_to_anchor=(0.5, 1.0), handlelength=1, handleheight=0.9, columnspacing=1.2)
