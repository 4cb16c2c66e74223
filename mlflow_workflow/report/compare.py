"""The best runs of a step side by side: what differs, and whether the winner's lead is more than noise.

A step may log a metric once for each fold of a cross validation, as `x_fold` beside `x_mean`, and in
the tag `pairs.x_fold` which folds these were. Runs of the same folds are then compared in pairs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, variance

from mlflow_workflow.report.highlights import FOLD
from mlflow_workflow.report.tables import aligned, shortened

MEAN = "_mean"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Candidate:
    """One run: `folds` are its values fold by fold, none if it logged none; `pairs` names the folds."""

    run_id: str
    experiment_id: str
    name: str
    commit: str | None
    dirty: bool
    value: float
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    folds: tuple[float, ...] = ()
    pairs: str | None = None


@dataclass(frozen=True)
class Difference:
    """By how much the best run is ahead (positive: better), with a 95 % interval."""

    mean: float
    low: float
    high: float
    paired: bool

    @property
    def verdict(self) -> str:
        """Is the lead more than noise?"""
        if self.low > 0:
            return "really worse"
        return "may be noise" if self.high > 0 else "no worse"


def folds_of(metric: str) -> str:
    """The metric that holds the values fold by fold."""
    return f"{metric.removesuffix(MEAN)}{FOLD}"


def difference(best: Candidate, other: Candidate, lowest_is_best: bool) -> Difference | None:
    """The best run's lead over another; None if either has fewer than two folds.

    Folds train on mostly the same data, so their scores vary less than independent ones would: the
    variance is corrected for it (Nadeau and Bengio 2003), which a plain t interval leaves out.
    """
    if min(len(best.folds), len(other.folds)) < 2:
        return None
    sign = -1 if lowest_is_best else 1
    paired = best.pairs is not None and best.pairs == other.pairs and len(best.folds) == len(other.folds)
    if paired:
        leads = [sign * (b - o) for b, o in zip(best.folds, other.folds, strict=True)]
        return interval(mean(leads), corrected(leads), len(leads) - 1, paired)
    lead = sign * (mean(best.folds) - mean(other.folds))
    both = corrected(best.folds) + corrected(other.folds)
    return interval(lead, both, min(len(best.folds), len(other.folds)) - 1, paired)


def corrected(values: Sequence[float]) -> float:
    """The variance of the mean of values that come from the folds of one cross validation."""
    count = len(values)
    return variance(values) * (1 / count + 1 / (count - 1))


def interval(lead: float, of_mean: float, freedom: int, paired: bool) -> Difference:
    """The 95 % interval of Student's t."""
    from scipy.stats import t  # half a second, needed by this command alone

    half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(of_mean)
    return Difference(lead, lead - half, lead + half, paired)


def differing(candidates: Sequence[Candidate]) -> list[str]:
    """The parameters that do not have one value in all runs."""
    names = dict.fromkeys(name for c in candidates for name in c.parameters)
    return [n for n in names if len({c.parameters.get(n) for c in candidates}) > 1]


def shared_metrics(candidates: Sequence[Candidate], first: str) -> list[str]:
    """The metric asked for, then the others that some run has."""
    names = {name for c in candidates for name in c.metrics}
    return [first, *sorted(n for n in names if n != first and not n.endswith(FOLD))]


def table(candidates: Sequence[Candidate], metric: str, lowest_is_best: bool) -> str:
    """The runs, best first, for the terminal."""
    names = differing(candidates)
    rows = [
        (
            c.run_id[:8],
            f"{c.value:.4f}",
            *(shortened(c.parameters.get(name, "-"), 32) for name in names),
            commit(c),
            lead(difference(candidates[0], c, lowest_is_best)) if c is not candidates[0] else "the best",
        )
        for c in candidates
    ]
    return aligned([("run", metric, *names, "commit", "behind the best"), *rows])


def commit(candidate: Candidate) -> str:
    """`3f2a1b9`, with a mark if the code was not as committed."""
    return f"{(candidate.commit or '-')[:7]}{' dirty' if candidate.dirty else ''}"


def lead(found: Difference | None) -> str:
    """`0.0112 [0.0021, 0.0203] really worse`."""
    if found is None:
        return "no folds to compare"
    paired = "" if found.paired else ", other folds"
    return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}] {found.verdict}{paired}"
