"""The plots of an evaluation, as SVG files that are the same whenever they are drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

STYLE: Sequence[str | Path | dict[str, Any]] = ["default", {"svg.hashsalt": "steps"}]
"""Matplotlib's own defaults, whatever the user's are, and ids that are not random."""

Numbers = NDArray[Any]
Paint = Callable[[Axes], object]


def draw(file: Path, title: str, paint: Paint) -> None:
    """Write one plot."""
    with style.context(STYLE):
        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.subplots()
        paint(axes)
        axes.set_title(title)
        figure.savefig(file, format="svg", metadata={"Date": None})


def of_predictions(truth: Numbers, predicted: Numbers) -> dict[str, Paint]:
    """Plot what needs only predictions, by title."""
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


def of_importance(names: list[str], mean: Numbers, deviation: Numbers) -> dict[str, Paint]:
    """Plot by how much accuracy falls when the values of a feature are shuffled."""
    order = np.argsort(mean, kind="stable")

    def paint(axes: Axes) -> None:
        labels = [names[index] for index in order]
        axes.barh(labels, mean[order], xerr=deviation[order])
        axes.set_xlabel("loss of accuracy")

    return {"Permutation importance": paint}


def file_name(title: str) -> str:
    """Name the file of a plot."""
    return f"{title.lower().replace(' ', '_')}.svg"
