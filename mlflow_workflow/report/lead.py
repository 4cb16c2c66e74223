"""By how much the best run of a step is ahead of another, and whether that is more than noise.

A step may log a metric once for each fold of a cross validation, as `x_fold` beside `x_mean`, and in
the tag `pairs.x_fold` which folds these were. Runs of the same folds are then compared in pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, variance

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Folds:
    """The values of one run fold by fold, none if it logged none; `pairs` names the folds."""

    values: tuple[float, ...] = ()
    pairs: str | None = None


@dataclass(frozen=True)
class Lead:
    """By how much the best run is ahead (positive: better), with a 95 % interval."""

    mean: float
    low: float
    high: float
    paired: bool

    @property
    def verdict(self) -> str:
        """Is it more than noise?"""
        if self.low > 0:
            return "really worse"
        return "may be noise" if self.high > 0 else "no worse"

    def __str__(self) -> str:
        paired = "" if self.paired else ", other folds"
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}] {self.verdict}{paired}"


def lead(best: Folds, other: Folds, lowest_is_best: bool) -> Lead | None:
    """The best run's lead over another; None if either has fewer than two folds.

    Folds train on mostly the same data, so their scores vary less than independent ones would: the
    variance is corrected for it (Nadeau and Bengio 2003), which a plain t interval leaves out.
    """
    counts = len(best.values), len(other.values)
    if min(counts) < 2:
        return None
    paired = best.pairs is not None and best.pairs == other.pairs and counts[0] == counts[1]
    if paired:
        spread = corrected([b - o for b, o in zip(best.values, other.values, strict=True)])
    else:
        spread = corrected(best.values) + corrected(other.values)
    from scipy.stats import t  # half a second, needed by this command alone

    ahead = (mean(best.values) - mean(other.values)) * (-1 if lowest_is_best else 1)
    half = float(t.ppf((1 + CONFIDENCE) / 2, min(counts) - 1)) * math.sqrt(spread)
    return Lead(ahead, ahead - half, ahead + half, paired)


def corrected(values: Sequence[float]) -> float:
    """The variance of the mean of values that come from the folds of one cross validation."""
    count = len(values)
    return variance(values) * (1 / count + 1 / (count - 1))
