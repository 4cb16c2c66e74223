"""How good predictions are of which of two classes, and how far chance could have moved that."""

import csv
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric, RunTag
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0
BOUNDS = (0.025, 0.975)

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What is true of each row, what was predicted, and how sure the model was."""

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
    """Give every statistic with its interval, by bootstrap over the rows.

    A statistic that these rows do not decide, such as roc_auc if all are of one class, is left out.
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
    """Draw rows with replacement; gives how often each of them was drawn."""
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield np.bincount(generator.integers(count, size=count), minlength=count)


def interval(draws: list[float]) -> tuple[float, float]:
    """Give the bounds between which 95 % of the draws lie, undecided ones aside."""
    low, high = np.nanquantile(draws, BOUNDS)
    return float(low), float(high)


def statistics(model: Outcome, baseline: Outcome, weights: Numbers) -> dict[str, float]:
    """Give the metrics of both, and by how much the model is more accurate, on the same rows."""
    own, other = metrics(model, weights), metrics(baseline, weights)
    named = {f"baseline_{name}": value for name, value in other.items()}
    return {**own, **named, "accuracy_minus_baseline": own["accuracy"] - other["accuracy"]}


def metrics(found: Outcome, weights: Numbers) -> dict[str, float]:
    """Give the metrics as scikit-learn defines them; it would take a hundred times as long."""
    true, called = found.truth == 1, found.predicted == 1
    hits, positive = weights[true & called].sum(), weights[true].sum()
    named, total = weights[called].sum(), weights.sum()
    right = hits + weights[~true & ~called].sum()
    values = {
        "accuracy": right / total,
        "balanced_accuracy": balanced(hits, positive, right - hits, total - positive),
        "precision": ratio(hits, named),
        "recall": ratio(hits, positive),
        "f1": ratio(2 * hits, positive + named),
    }
    if found.ranks is not None:
        values["roc_auc"] = roc_auc(found.truth, found.ranks, weights)
    return {name: float(value) for name, value in values.items()}


def ratio(part: float, whole: float) -> float:
    """Divide; nothing out of nothing counts as none."""
    return part / whole if whole else 0.0


def balanced(hits: float, positive: float, rejected: float, negative: float) -> float:
    """Average the recall of the classes that occur."""
    shares = [part / whole for part, whole in ((hits, positive), (rejected, negative)) if whole]
    return sum(shares) / len(shares)


def roc_auc(truth: Numbers, ranks: Numbers, weights: Numbers) -> float:
    """Give how often a 1 ranks above a 0, a tie counting half; NaN without both."""
    ones = np.bincount(ranks, weights * truth)
    zeros = np.bincount(ranks, weights * (1 - truth))
    pairs = ones.sum() * zeros.sum()
    below = np.cumsum(zeros) - zeros / 2
    return float((ones * below).sum() / pairs) if pairs else float("nan")


def flat(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Name every value and bound as a metric: accuracy, accuracy_low, accuracy_high."""
    return {
        name + suffix: value
        for name, e in found.items()
        for suffix, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }


def write(found: Mapping[str, Estimate], folder: Path) -> None:
    """Write metrics.json for programs and metrics.csv for spreadsheets."""
    rows = {name: asdict(estimate) for name, estimate in found.items()}
    text = json.dumps(rows, indent=2) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8", newline="\n")
    with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "value", "low", "high"])
        table.writerows([name, *row.values()] for name, row in rows.items())


def log_folds(name: str, values: Sequence[float], which: str) -> dict[str, float]:
    """Log a score for each fold of a cross validation, as `<name>_fold`; gives mean and deviation.

    `which` says how the rows were split: `compare` takes runs that say the same in pairs.
    """
    if run := mlflow.active_run():
        now = int(time.time() * 1000)
        folds = [Metric(f"{name}_fold", value, now, fold) for fold, value in enumerate(values)]
        same = hashlib.sha256(which.encode()).hexdigest()[:16]
        tags = [RunTag(f"pairs.{name}_fold", same)]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=folds, tags=tags)
    return {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
