"""The evaluation: metrics as scikit-learn defines them, intervals, plots, and what is refused."""

import hashlib
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import click
import mlflow
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import SVC

from steps import evaluate, passengers, plots, saved_model, scores, train

ROOT = Path(__file__).parent.parent.parent
INPUT = ROOT / "input"

passenger = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-3, 3))
METRICS = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "precision": lambda *a, **k: sklearn.metrics.precision_score(*a, zero_division=0, **k),
    "recall": lambda *a, **k: sklearn.metrics.recall_score(*a, zero_division=0, **k),
    "f1": lambda *a, **k: sklearn.metrics.f1_score(*a, zero_division=0, **k),
}


def arrays(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def ids(*names: str) -> pd.Series:
    return pd.Series(names, dtype=str)


def labels_file(folder: Path, text: str) -> Path:
    file = folder / "labels.csv"
    file.write_text("PassengerId,Survived\n" + text, encoding="utf-8")
    return file


# Metrics


@given(rows=st.lists(passenger, min_size=1, max_size=20), data=st.data())
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


@given(rows=st.lists(passenger, min_size=1, max_size=12))
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


# Labels


def test_labels_are_matched_by_id_in_whatever_order(tmp_path: Path) -> None:
    file = labels_file(tmp_path, "3,1\n1,0\n2,1\n")
    assert evaluate.survival(file, ids("1", "2", "3")).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0\n", "has no PassengerId 2, which test.csv of preprocess has"),
        ("1,0\n2,1\n9,1\n", "has PassengerId 9, which test.csv of preprocess does not have"),
        ("1,0\n2,\n", "PassengerId 2 is ''; it must be 0 or 1"),
        ("1,0\n2,1\n2,1\n", "has PassengerId 2 twice"),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"labels.csv") as refused:
        evaluate.survival(labels_file(tmp_path, text), ids("1", "2"))
    assert message in refused.value.message


def test_a_labels_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    options = {"preprocess": tmp_path, "train": tmp_path, "predict": tmp_path}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    files = ["--labels", "nowhere.csv", "--baseline", "nowhere.csv"]
    shown = CliRunner().invoke(evaluate.main, arguments + files)
    assert shown.exit_code == 2
    assert "--labels" in shown.output
    assert "does not exist" in shown.output


def test_wrong_predictions_come_with_both_outcomes_and_the_features() -> None:
    table = pd.DataFrame({"PassengerId": ["5", "6"], "Age": ["22", ""]}, dtype=str)
    found = evaluate.wrong(table, pd.Series([1, 0]), pd.Series([1, 1]))
    assert found.to_csv(index=False) == "PassengerId,Survived,Predicted,Age\n6,0,1,\n"


# Models and plots


@pytest.mark.parametrize(
    ("model", "titles"),
    [
        (RidgeClassifier(), {"ROC curve", "Precision recall curve"}),
        (SVC(), {"ROC curve", "Precision recall curve"}),
        (LogisticRegression(), {"ROC curve", "Precision recall curve", "Calibration curve"}),
        (DummyClassifier(), {"ROC curve", "Precision recall curve", "Calibration curve"}),
    ],
)
def test_a_model_gets_the_plots_that_it_allows(model: object, titles: set[str], tmp_path: Path) -> None:
    features, truth = pd.DataFrame({"Age": np.arange(20.0)}), np.array([0, 1] * 10)
    model.fit(features, truth)
    found = scores.outcome(truth, model.predict(features))
    paints = evaluate.all_plots(model, features, found)
    assert set(paints) == {"Confusion matrix", "Permutation importance"} | titles
    for title, paint in paints.items():
        plots.draw(tmp_path / plots.file_name(title), title, paint)
    assert len(list(tmp_path.glob("*.svg"))) == len(paints)


def test_one_class_only_leaves_out_what_needs_two() -> None:
    features, truth = pd.DataFrame({"Age": np.arange(4.0)}), np.array([0, 1, 0, 1])
    model = LogisticRegression().fit(features, truth)
    found = scores.outcome(np.ones(4, int), truth)
    paints = evaluate.all_plots(model, features, found)
    assert set(paints) == {"Confusion matrix", "Permutation importance"}


def test_certainty_grows_with_the_chance_to_survive() -> None:
    features = pd.DataFrame({"Age": np.arange(20.0)})
    truth = (features["Age"] > 9).astype(int)
    for model in (RidgeClassifier(), LogisticRegression(), SVC()):
        certainty = evaluate.certainty(model.fit(features, truth), features)
        assert certainty[0] < certainty[-1]


def test_the_users_own_style_does_not_matter(tmp_path: Path) -> None:
    paint = plots.of_importance(["a", "b"], np.array([0.1, 0.2]), np.zeros(2))
    for name, style in (("plain", {}), ("styled", {"font.size": 30, "svg.fonttype": "none"})):
        with plots.style.context(style):
            plots.draw(tmp_path / name, "Importance", paint["Permutation importance"])
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "styled").read_bytes()


def test_metrics_are_written_for_programs_and_for_spreadsheets(tmp_path: Path) -> None:
    evaluate.write_metrics({"f1": scores.Estimate(0.5, 0.4, 0.6)}, tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == b"name,value,low,high\nf1,0.5,0.4,0.6\n"
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert written == {"f1": {"value": 0.5, "low": 0.4, "high": 0.6}}


# Real runs


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of the three steps before, made without them."""
    folder = tmp_path_factory.mktemp("upstream")
    for name in ("preprocess", "train", "predict"):
        (folder / name).mkdir()
    names = ["PassengerId", "Sex", "Age"]
    table = passengers.read(INPUT / "train.csv")
    kept = passengers.features(table[names], INPUT / "train.csv")
    fitted = train.pipeline(kept, LogisticRegression())
    fitted.fit(kept, passengers.target(table, INPUT / "train.csv"))
    saved_model.save(fitted, kept, folder / "train" / "model")
    test = passengers.read(INPUT / "test.csv")[names]
    passengers.write(test, folder / "preprocess" / "test.csv")
    test["Survived"] = fitted.predict(passengers.features(test, INPUT / "test.csv"))
    passengers.write(test[["PassengerId", "Survived"]], folder / "predict" / "test_prediction.csv")
    return folder


def run_evaluate(upstream: Path, store: Path, hash_seed: str) -> dict[str, str]:
    """Run the step as MLproject does; gives the digests of its outputs."""
    options = {name: upstream / name for name in ("preprocess", "train", "predict")}
    options |= {"labels": INPUT / "test_survived.csv"}
    options |= {"baseline": INPUT / "gender_submission.csv"}
    before = set(store.glob("mlruns/*/*"))
    subprocess.run(
        [sys.executable, "-m", "steps.evaluate"]
        + [text for key, value in options.items() for text in (f"--{key}", str(value))],
        cwd=store,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        check=True,
    )
    (made,) = set(store.glob("mlruns/*/*")) - before
    files = sorted((made / "artifacts" / "evaluate").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_two_runs_write_the_same_bytes_and_log_the_metrics(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    first = run_evaluate(upstream, tmp_path, "1")
    assert first == run_evaluate(upstream, tmp_path, "2")
    assert {"metrics.json", "metrics.csv", "wrong_predictions.csv"} <= set(first)
    assert len([name for name in first if name.endswith(".svg")]) == 5

    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    truth = pd.read_csv(INPUT / "test_survived.csv")["Survived"]
    women = pd.read_csv(INPUT / "gender_submission.csv")["Survived"]
    assert run.data.metrics["baseline_accuracy"] == pytest.approx((truth == women).mean())
    assert {"accuracy", "accuracy_low", "roc_auc", "accuracy_minus_baseline_high"} <= set(
        run.data.metrics
    )
    read = {each.dataset.name for each in run.inputs.dataset_inputs}
    assert {"test", "test_prediction", "test_survived", "gender_submission"} <= read
