"""The plots of a classifier of two classes, as SVG files that are the same whenever they are drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import CalibrationDisplay
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

STYLE: Sequence[str | Path | dict[str, Any]] = ["default", {"svg.hashsalt": "steps"}]
"""Matplotlib's own defaults, whatever the user's are, and ids that are not random."""

POSITIVE = 1
SEED = 0

Numbers = NDArray[Any]
Paint = Callable[[Axes], object]


def draw_all(paints: dict[str, Paint], folder: Path) -> None:
    """Write plots, each in a file that is named after its title."""
    for title, paint in paints.items():
        draw(folder / f"{title.lower().replace(' ', '_')}.svg", title, paint)


def draw(file: Path, title: str, paint: Paint) -> None:
    """Write one plot."""
    with style.context(STYLE):
        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.subplots()
        paint(axes)
        axes.set_title(title)
        figure.savefig(file, format="svg", metadata={"Date": None})


def of_classifier(
    model: Any, features: pd.DataFrame, truth: Numbers, predicted: Numbers
) -> dict[str, Paint]:
    """Give the plots that a fitted model and these data allow, by title."""
    paints = of_predictions(truth, predicted) | of_importance(model, features, truth)
    if len(set(truth.tolist())) < 2:
        return paints
    if (sure := certainty(model, features)) is not None:
        paints |= of_certainty(truth, sure)
    if (chances := probabilities(model, features)) is not None:
        paints |= of_probabilities(truth, chances)
    return paints


def certainty(model: Any, features: pd.DataFrame) -> Numbers | None:
    """Give how sure a model is of the positive class, on its own scale, if it tells."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(features))
    return probabilities(model, features)


def probabilities(model: Any, features: pd.DataFrame) -> Numbers | None:
    """Give the probability of the positive class, if the model tells."""
    if not hasattr(model, "predict_proba") or POSITIVE not in model.classes_:
        return None
    chances = np.asarray(model.predict_proba(features))
    return chances[:, list(model.classes_).index(POSITIVE)]


def of_predictions(truth: Numbers, predicted: Numbers) -> dict[str, Paint]:
    """Plot what needs only predictions."""
    return {
        "Confusion matrix": lambda axes: ConfusionMatrixDisplay.from_predictions(
            truth, predicted, ax=axes, colorbar=False, cmap="Blues"
        )
    }


def of_certainty(truth: Numbers, certainty: Numbers) -> dict[str, Paint]:
    """Plot what needs the model's certainty of each prediction."""
    return {
        "ROC curve": lambda axes: RocCurveDisplay.from_predictions(
            truth, certainty, ax=axes, plot_chance_level=True
        ),
        "Precision recall curve": lambda axes: PrecisionRecallDisplay.from_predictions(
            truth, certainty, ax=axes, plot_chance_level=True
        ),
    }


def of_probabilities(truth: Numbers, probabilities: Numbers) -> dict[str, Paint]:
    """Plot what needs probabilities."""
    return {
        "Calibration curve": lambda axes: CalibrationDisplay.from_predictions(
            truth, probabilities, n_bins=10, ax=axes
        )
    }


def of_importance(model: Any, features: pd.DataFrame, truth: Numbers) -> dict[str, Paint]:
    """Plot by how much accuracy falls when the values of a feature are shuffled."""
    found = permutation_importance(
        model, features, truth, scoring="accuracy", n_repeats=10, random_state=SEED
    )
    order = np.argsort(found.importances_mean, kind="stable")

    def paint(axes: Axes) -> None:
        labels = [str(features.columns[index]) for index in order]
        axes.barh(labels, found.importances_mean[order], xerr=found.importances_std[order])
        axes.set_xlabel("loss of accuracy")

    return {"Permutation importance": paint}
