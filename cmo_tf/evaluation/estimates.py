"""Means over seeds, and what they may be taken for: Student's t intervals (of 95 %)."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """Mean over `n` seeds, standard deviation and half of the 95 % confidence interval (None for a single one)."""

    mean: float
    sd: float | None
    half: float | None
    n: int

    def shown(self, digits: int = 2, signed: bool = False) -> str:
        """"91.50 ± 1.20": mean and, of several values, standard deviation."""
        mean = f"{self.mean:{'+' if signed else ''}.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {self.sd:.{digits}f}"


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean, standard deviation (n - 1) and Student's t interval of independent values; None without any."""
    values = list(values)
    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Estimate(mean, None, None, n)
    sd = statistics.stdev(values)
    return Estimate(mean, sd, _quantile(n - 1) * sd / n**0.5, n)


def difference(ours: Sequence[float], theirs: Sequence[float], paired: bool) -> Estimate | None:
    """Mean of `ours` minus that of `theirs`, None without values in both.

    Paired, the values belong together one by one, and the interval is that of their differences. Otherwise it is
    Welch's, with `n` the smaller number of values and no `sd`.
    """
    if not ours or not theirs:
        return None
    if paired:
        return estimate([a - b for a, b in zip(ours, theirs, strict=True)])
    mean, n = statistics.fmean(ours) - statistics.fmean(theirs), min(len(ours), len(theirs))
    if n < 2:
        return Estimate(mean, None, None, n)
    parts = [statistics.variance(values) / len(values) for values in (ours, theirs)]
    if not sum(parts):
        return Estimate(mean, None, 0.0, n)
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (ours, theirs), strict=True))
    return Estimate(mean, None, _quantile(freedom) * sum(parts) ** 0.5, n)


def _quantile(freedom: float) -> float:
    """Student's t for a two-sided interval."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
