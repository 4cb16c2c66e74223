"""Scores: metrics as scikit-learn defines them, their intervals, and folds that `compare` can pair."""

import json
import math
import warnings
from pathlib import Path

import mlflow
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_workflow.for_steps import scores

row = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-3, 3))
METRICS = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "precision": lambda *a, **k: sklearn.metrics.precision_score(*a, zero_division=0, **k),
    "recall": lambda *a, **k: sklearn.metrics.recall_score(*a, zero_division=0, **k),
    "f1": lambda *a, **k: sklearn.metrics.f1_score(*a, zero_division=0, **k),
}


def arrays(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@given(rows=st.lists(row, min_size=1, max_size=20), data=st.data())
@settings(max_examples=100, deadline=None)
def test_metrics_are_those_of_scikit_learn(
    rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    truth, predicted, certainty = arrays(rows)
    drawn = st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows)).filter(any)
    weights = np.array(data.draw(drawn))
    found = scores.metrics(scores.outcome(truth, predicted, certainty), weights)
    # Drawn twice is there twice; a weight of scikit-learn's would keep classes that are gone.
    people = np.repeat(np.arange(len(rows)), weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, metric in METRICS.items():
            assert math.isclose(found[name], metric(truth[people], predicted[people])), name
    if len(set(truth[people])) == 2:
        expected = sklearn.metrics.roc_auc_score(truth[people], certainty[people])
        assert math.isclose(found["roc_auc"], expected, abs_tol=1e-12)
    else:
        assert math.isnan(found["roc_auc"])


def test_without_certainty_there_is_no_roc_auc() -> None:
    found = scores.metrics(scores.outcome(np.array([0, 1]), np.array([0, 1])), np.ones(2))
    assert list(found) == list(METRICS)


@given(rows=st.lists(row, min_size=1, max_size=12))
@settings(max_examples=5, deadline=None)
def test_intervals_are_ordered_and_within_bounds(rows: list[tuple[int, int, int]]) -> None:
    truth, predicted, certainty = arrays(rows)
    found = scores.estimates(
        scores.outcome(truth, predicted, certainty), scores.outcome(truth, np.zeros_like(truth))
    )
    for name, estimate in found.items():
        least = -1 if name == "accuracy_minus_baseline" else 0
        assert least <= estimate.low <= estimate.high <= 1, name
    assert ("roc_auc" in found) == (len(set(truth)) == 2)


def test_an_interval_of_accuracy_is_about_the_binomial_one() -> None:
    truth = np.ones(400, int)
    predicted = np.repeat([1, 0], [300, 100])
    found = scores.estimates(scores.outcome(truth, predicted), scores.outcome(truth, truth))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found["accuracy"].value == 0.75
    assert found["accuracy"].low == pytest.approx(0.75 - half, abs=0.01)
    assert found["accuracy"].high == pytest.approx(0.75 + half, abs=0.01)


def test_the_difference_is_paired() -> None:
    truth = np.array([0, 1] * 50)
    predicted = np.array([0, 0] * 50)
    found = scores.estimates(scores.outcome(truth, predicted), scores.outcome(truth, predicted))
    assert found["accuracy_minus_baseline"] == scores.Estimate(0, 0, 0)
    assert found["accuracy"].low < found["accuracy"].high


def test_the_same_predictions_give_the_same_estimates() -> None:
    truth, predicted = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    model, baseline = scores.outcome(truth, predicted), scores.outcome(truth, truth)
    assert scores.estimates(model, baseline) == scores.estimates(model, baseline)


def test_metrics_are_named_with_their_bounds() -> None:
    assert scores.flat({"f1": scores.Estimate(0.5, 0.4, 0.6)}) == {
        "f1": 0.5,
        "f1_low": 0.4,
        "f1_high": 0.6,
    }


def test_metrics_are_written_for_programs_and_for_spreadsheets(tmp_path: Path) -> None:
    scores.write({"f1": scores.Estimate(0.5, 0.4, 0.6)}, tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == b"name,value,low,high\nf1,0.5,0.4,0.6\n"
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert written == {"f1": {"value": 0.5, "low": 0.4, "high": 0.6}}


def test_folds_are_logged_one_by_one_with_what_they_are(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    tags = []
    for which in ("5 0 a", "5 0 a", "5 1 a"):
        with mlflow.start_run() as run:
            assert scores.log_folds("accuracy", [0.5, 1.0], which) == {
                "accuracy_mean": 0.75,
                "accuracy_std": 0.25,
            }
        client = mlflow.MlflowClient()
        history = client.get_metric_history(run.info.run_id, "accuracy_fold")
        assert sorted((each.step, each.value) for each in history) == [(0, 0.5), (1, 1.0)]
        tags.append(client.get_run(run.info.run_id).data.tags["pairs.accuracy_fold"])
    assert tags[0] == tags[1] != tags[2]


def test_without_a_run_folds_are_only_summed_up() -> None:
    assert scores.log_folds("r2", [0.5, 0.5], "") == {"r2_mean": 0.5, "r2_std": 0.0}
