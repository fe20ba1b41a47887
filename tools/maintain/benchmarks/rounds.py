"""Alternating rounds: every side of a comparison is run once in turn, so that a noisy machine hits all alike."""

import contextlib
import dataclasses
import statistics
import sys
import time


@dataclasses.dataclass(frozen=True)
class Stretch:
    """One measured stretch: what was done, in seconds of the clock and of the processor (all cores)."""

    units: float
    wall: float
    processor: float

    @property
    def rate(self) -> float:
        """Units a second of the clock."""
        return self.units / self.wall

    @property
    def cost(self) -> float:
        """Processor milliseconds a unit, which other programs of the machine hardly change."""
        return 1e3 * self.processor / self.units


@dataclasses.dataclass
class Bench:
    """Sides to compare.

    Args:
        unit: what a side counts, such as "images".
        sides: name -> function without arguments that gives a Stretch.
        ratios: text -> (side, side): how many times as fast the first is as the second, each round, by the clock and by
            processor time.
        notes: function from the summary to lines for people, or None.
        close: what is closed at the end.
    """

    unit: str
    sides: dict
    ratios: dict = dataclasses.field(default_factory=dict)
    notes: object = None
    close: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)


class Stopwatch:
    """Times a `with` block; `stretch(units)` says what was done in it."""

    def __enter__(self):
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.ended = time.perf_counter(), time.process_time()

    def stretch(self, units) -> Stretch:
        """The Stretch of the block."""
        return Stretch(units, *(end - begin for begin, end in zip(self.began, self.ended, strict=True)))


def measure(title, bench, rounds) -> dict:
    """Name of a side -> its Stretch in each round, after one round of warm-up."""
    found = {name: [] for name in bench.sides}
    with bench.close:
        for number in range(rounds + 1):
            for name, run in bench.sides.items():
                stretch = run()
                if number:
                    found[name].append(stretch)
            print(f"{title}: round {number}/{rounds}" if number else f"{title}: warm-up done", file=sys.stderr,
                  flush=True)
    return found


def summary(bench, found) -> dict:
    """Median, lowest and highest rate, processor time, and ratios, as a plain dict."""
    rates = {name: spread([s.rate for s in stretches]) for name, stretches in found.items()}
    costs = {name: spread([s.cost for s in stretches]) for name, stretches in found.items()}
    ratios = {text: {"clock": spread([a.rate / b.rate for a, b in zip(found[one], found[other], strict=True)]),
                     "processor": spread([b.cost / a.cost for a, b in zip(found[one], found[other], strict=True)])}
              for text, (one, other) in bench.ratios.items()}
    result = {"unit": bench.unit, "per_second": rates, "processor_ms_per_unit": costs, "ratios": ratios}
    return result | {"notes": bench.notes(result) if bench.notes else []}


def spread(values) -> dict:
    """Median, lowest and highest, to four digits."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def show(title, result) -> None:
    """The table for people."""
    print(f"\n{title + ', ' + result['unit'] + '/s':<44}{'median':>10}{'low':>10}{'high':>10}{'processor ms':>14}")
    for name, row in result["per_second"].items():
        numbers = "".join(f"{row[key]:>10,.5g}" for key in ("median", "low", "high"))
        print(f"{name:<44}{numbers}{result['processor_ms_per_unit'][name]['median']:>14.4g}")
    for text, ratio in result["ratios"].items():
        row, processor = ratio["clock"], ratio["processor"]["median"]
        print(f"{text}: {row['median']:.3f} ({row['low']:.3f} to {row['high']:.3f}); by processor time {processor:.3f}")
    for line in result["notes"]:
        print(line)
