"""How good predictions are, and how far chance could have moved that: pure numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0
BOUNDS = (0.025, 0.975)

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What became of each passenger, what was predicted, and how sure the model was."""

    truth: Numbers
    predicted: Numbers
    ranks: Numbers | None = None


@dataclass(frozen=True)
class Estimate:
    """A value and the 95 % interval about it."""

    value: float
    low: float
    high: float


def outcome(truth: Numbers, predicted: Numbers, certainty: Numbers | None = None) -> Outcome:
    """Compare predictions with the truth; a greater certainty means rather 1 than 0."""
    ranks = None if certainty is None else np.unique(certainty, return_inverse=True)[1]
    return Outcome(truth, predicted, ranks)


def estimates(model: Outcome, baseline: Outcome) -> dict[str, Estimate]:
    """Give every statistic with its interval, by bootstrap over the passengers.

    A statistic that these passengers do not decide, such as roc_auc if all survived, is left out.
    """
    count = len(model.truth)
    values = statistics(model, baseline, np.ones(count))
    draws = [statistics(model, baseline, weights) for weights in resamples(count)]
    return {
        name: Estimate(value, *interval([draw[name] for draw in draws]))
        for name, value in values.items()
        if np.isfinite(value)
    }


def resamples(count: int) -> Iterator[Numbers]:
    """Draw passengers with replacement; gives how often each of them was drawn."""
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield np.bincount(generator.integers(count, size=count), minlength=count)


def interval(draws: list[float]) -> tuple[float, float]:
    """Give the bounds between which 95 % of the draws lie, undecided ones aside."""
    low, high = np.nanquantile(draws, BOUNDS)
    return float(low), float(high)


def statistics(model: Outcome, baseline: Outcome, weights: Numbers) -> dict[str, float]:
    """Give the metrics of both, and by how much the model is more accurate, on the same people."""
    own, other = metrics(model, weights), metrics(baseline, weights)
    named = {f"baseline_{name}": value for name, value in other.items()}
    return {**own, **named, "accuracy_minus_baseline": own["accuracy"] - other["accuracy"]}


def metrics(found: Outcome, weights: Numbers) -> dict[str, float]:
    """Give the metrics as scikit-learn defines them; it would take a hundred times as long."""
    alive, called = found.truth == 1, found.predicted == 1
    hits, living = weights[alive & called].sum(), weights[alive].sum()
    named, total = weights[called].sum(), weights.sum()
    right = hits + weights[~alive & ~called].sum()
    values = {
        "accuracy": right / total,
        "balanced_accuracy": balanced(hits, living, right - hits, total - living),
        "precision": ratio(hits, named),
        "recall": ratio(hits, living),
        "f1": ratio(2 * hits, living + named),
    }
    if found.ranks is not None:
        values["roc_auc"] = roc_auc(found.truth, found.ranks, weights)
    return {name: float(value) for name, value in values.items()}


def ratio(part: float, whole: float) -> float:
    """Divide; nothing out of nothing counts as none."""
    return part / whole if whole else 0.0


def balanced(hits: float, living: float, rejected: float, dead: float) -> float:
    """Average the recall of the classes that occur."""
    shares = [part / whole for part, whole in ((hits, living), (rejected, dead)) if whole]
    return sum(shares) / len(shares)


def roc_auc(truth: Numbers, ranks: Numbers, weights: Numbers) -> float:
    """Give how often a survivor ranks above a victim, a tie counting half; NaN without both."""
    alive = np.bincount(ranks, weights * truth)
    dead = np.bincount(ranks, weights * (1 - truth))
    pairs = alive.sum() * dead.sum()
    below = np.cumsum(dead) - dead / 2
    return float((alive * below).sum() / pairs) if pairs else float("nan")


def flat(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Name every value and bound as a metric: accuracy, accuracy_low, accuracy_high."""
    return {
        name + suffix: value
        for name, e in found.items()
        for suffix, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }
