"""Plots of a classifier: those that a model allows, and the same bytes whatever the user's style."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import SVC

from mlflow_workflow.for_steps import plots

FEATURES = pd.DataFrame({"age": np.arange(20.0)})
TRUTH = np.array([0, 1] * 10)
ALWAYS = {"Confusion matrix", "Permutation importance"}
CURVES = {"ROC curve", "Precision recall curve"}


@pytest.mark.parametrize(
    ("model", "titles"),
    [
        (RidgeClassifier(), CURVES),
        (SVC(), CURVES),
        (LogisticRegression(), {*CURVES, "Calibration curve"}),
        (DummyClassifier(), {*CURVES, "Calibration curve"}),
    ],
)
def test_a_model_gets_the_plots_that_it_allows(model: object, titles: set[str], tmp_path: Path) -> None:
    model.fit(FEATURES, TRUTH)  # type: ignore[attr-defined]
    paints = plots.of_classifier(model, FEATURES, TRUTH, model.predict(FEATURES))  # type: ignore[attr-defined]
    assert set(paints) == ALWAYS | titles
    plots.draw_all(paints, tmp_path)
    assert {"confusion_matrix.svg", "roc_curve.svg"} <= {file.name for file in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("*.svg"))) == len(paints)


def test_one_class_only_leaves_out_what_needs_two() -> None:
    model = LogisticRegression().fit(FEATURES, TRUTH)
    paints = plots.of_classifier(model, FEATURES, np.ones(20, int), TRUTH)
    assert set(paints) == ALWAYS


def test_certainty_grows_with_the_chance_of_a_1() -> None:
    truth = (FEATURES["age"] > 9).astype(int)
    for model in (RidgeClassifier(), LogisticRegression(), SVC()):
        certainty = plots.certainty(model.fit(FEATURES, truth), FEATURES)
        assert certainty is not None
        assert certainty[0] < certainty[-1]


def test_the_users_own_style_does_not_matter(tmp_path: Path) -> None:
    paint = plots.of_predictions(TRUTH, TRUTH)["Confusion matrix"]
    for name, style in (("plain", {}), ("styled", {"font.size": 30, "svg.fonttype": "none"})):
        with plots.style.context(style):
            plots.draw(tmp_path / name, "Confusion", paint)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "styled").read_bytes()
