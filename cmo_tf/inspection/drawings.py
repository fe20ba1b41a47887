"""Drawings of an inspection beside the class counts, which are those of a run's report. Each returns SVG text."""

import numpy as np

from cmo_tf.report.svg import COLOURS, drawing


@drawing("Shorter side of the pictures in pixels")
def short_sides(figure, sides, chosen: int | None):
    """Histogram of the shorter sides on a log scale, and the suggested image size as a line."""
    axes = figure.subplots()
    low, high = max(min(sides), 1), max(max(sides), 2)
    edges = np.geomspace(low * 0.97, high * 1.03, 25)
    axes.hist(sides, bins=edges, color=COLOURS["heat"])
    axes.set_xscale("log")
    inside = [side for side in (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096) if edges[0] <= side <= edges[-1]]
    ticks = inside if len(inside) > 1 else sorted({int(low), int(high)})
    axes.set_xticks(ticks, [str(side) for side in ticks])
    axes.minorticks_off()
    if chosen is not None and edges[0] < chosen < edges[-1]:
        axes.axvline(chosen, color=COLOURS["few"], lw=1.5, label=f"suggested size {chosen}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.set(xlabel="shorter side (pixels)", ylabel="pictures")
    axes.grid(axis="y")


@drawing("Width by height of the pictures")
def aspects(figure, ratios):
    """Histogram of width / height on a log scale: 1 is a square."""
    axes = figure.subplots()
    top = max(float(np.max(np.abs(np.log2(ratios)))), 1.0) * 1.02
    axes.hist(np.log2(ratios), bins=np.linspace(-top, top, 25), color=COLOURS["heat"])
    ticks = [tick for tick in (-3, -2, -1, 0, 1, 2, 3) if abs(tick) <= top]
    words = {-3: "1:8", -2: "1:4", -1: "1:2", 0: "1:1", 1: "2:1", 2: "4:1", 3: "8:1"}
    axes.set_xticks(ticks, [words[tick] for tick in ticks])
    axes.set(xlabel="width : height", ylabel="pictures")
    axes.grid(axis="y")
