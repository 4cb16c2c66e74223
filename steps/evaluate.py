"""Compare predictions with what really became of the passengers, and with a baseline's.

Reads test.csv in the outputs of preprocess, model in the outputs of train, test_prediction.csv
in the outputs of predict; the truth in --labels, the baseline's predictions in --baseline

Writes metrics.json and metrics.csv (name, value, low, high), wrong_predictions.csv, and plots

Every metric comes with a 95 % interval, by bootstrap over the passengers.
"""

# While skops is imported it looks through all modules there are: first of all, that takes half as long.
import skops.io  # noqa: F401

# isort: split
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import mlflow
import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance

from mlflow_workflow.step import step
from steps import passengers, plots, saved_model, scores
from steps.passengers import KEY, TARGET
from steps.plots import Numbers, Paint
from steps.predict import RESULT, inputs
from steps.scores import Estimate, Outcome

TABLE = "test.csv"
WRONG = "wrong_predictions.csv"
PREDICTED = "Predicted"
POSITIVE = 1


def survival(file: Path, ids: "pd.Series[str]") -> "pd.Series[int]":
    """Read who survives according to a file, in the order of these ids.

    Raises ClickException: the file lacks a passenger, or has one too many.
    """
    table = passengers.read(file)
    check_same(table[KEY], ids, file)
    by_id = passengers.target(table, file).set_axis(table[KEY])
    return by_id.loc[ids].reset_index(drop=True)


def check_same(found: "pd.Series[str]", wanted: "pd.Series[str]", file: Path) -> None:
    """Raise ClickException unless both name the same passengers, in whatever order."""
    if not (missing := wanted[~wanted.isin(found)]).empty:
        raise click.ClickException(
            f"{file} has no {KEY} {missing.iloc[0]}, which {TABLE} of preprocess has"
        )
    if not (extra := found[~found.isin(wanted)]).empty:
        raise click.ClickException(
            f"{file} has {KEY} {extra.iloc[0]}, which {TABLE} of preprocess does not have"
        )


def certainty(pipeline: Any, features: pd.DataFrame) -> Numbers | None:
    """Give how sure a model is that each passenger survives, on its own scale, if it tells."""
    if hasattr(pipeline, "decision_function"):
        return np.asarray(pipeline.decision_function(features))
    return probabilities(pipeline, features)


def probabilities(pipeline: Any, features: pd.DataFrame) -> Numbers | None:
    """Give the probability that each passenger survives, if the model tells."""
    if not hasattr(pipeline, "predict_proba") or POSITIVE not in pipeline.classes_:
        return None
    chances = np.asarray(pipeline.predict_proba(features))
    return chances[:, list(pipeline.classes_).index(POSITIVE)]


def wrong(table: pd.DataFrame, truth: "pd.Series[int]", predicted: "pd.Series[int]") -> pd.DataFrame:
    """Keep the passengers that were wrongly predicted, with both outcomes and their features."""
    known = pd.DataFrame({KEY: table[KEY], TARGET: truth, PREDICTED: predicted})
    both = known.join(table.drop(columns=KEY))
    return both[both[TARGET] != both[PREDICTED]]


def importance(pipeline: Any, features: pd.DataFrame, truth: Numbers) -> dict[str, Paint]:
    """Plot how much the model relies on each feature."""
    found = permutation_importance(
        pipeline, features, truth, scoring="accuracy", n_repeats=10, random_state=scores.SEED
    )
    names = [str(name) for name in features.columns]
    return plots.of_importance(names, found.importances_mean, found.importances_std)


def all_plots(pipeline: Any, features: pd.DataFrame, found: Outcome) -> dict[str, Paint]:
    """Give the plots that this model and these passengers allow, by title."""
    paints = plots.of_predictions(found.truth, found.predicted)
    paints |= importance(pipeline, features, found.truth)
    if len(set(found.truth.tolist())) < 2:
        return paints
    if (sure := certainty(pipeline, features)) is not None:
        paints |= plots.of_certainty(found.truth, sure)
    if (chances := probabilities(pipeline, features)) is not None:
        paints |= plots.of_probabilities(found.truth, chances)
    return paints


def write_metrics(found: Mapping[str, Estimate], folder: Path) -> None:
    """Write the metrics for programs and for spreadsheets."""
    rows = {name: asdict(estimate) for name, estimate in found.items()}
    text = json.dumps(rows, indent=2) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8", newline="\n")
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name").reset_index()
    passengers.write(table, folder / "metrics.csv")


def log_tables(preprocess: Path, predict: Path, labels: Path, baseline: Path) -> None:
    """Show the tables that were read in the run's data sets."""
    for file, place in (
        (preprocess / TABLE, passengers.origin("preprocess", preprocess)),
        (predict / RESULT, passengers.origin("predict", predict)),
        (labels, str(labels.parent)),
        (baseline, str(baseline.parent)),
    ):
        passengers.log(passengers.read(file), place, file.name, "read")


@click.command(help=__doc__)
@click.option("--preprocess", required=True, type=passengers.FOLDER)
@click.option("--train", required=True, type=passengers.FOLDER)
@click.option("--predict", required=True, type=passengers.FOLDER)
@click.option("--labels", required=True, type=passengers.FILE)
@click.option("--baseline", required=True, type=passengers.FILE)
def main(preprocess: Path, train: Path, predict: Path, labels: Path, baseline: Path) -> None:
    """Run the step."""
    with step() as outputs:
        log_tables(preprocess, predict, labels, baseline)
        table = passengers.read(preprocess / TABLE)
        truth, predicted, guessed = (
            survival(file, table[KEY]) for file in (labels, predict / RESULT, baseline)
        )
        pipeline, taken = saved_model.load(train / "model")
        features = inputs(table, taken, preprocess / TABLE)

        sure = certainty(pipeline, features)
        model = scores.outcome(truth.to_numpy(), predicted.to_numpy(), sure)
        other = scores.outcome(truth.to_numpy(), guessed.to_numpy())
        found = scores.estimates(model, other)
        mlflow.log_metrics(scores.flat(found))
        write_metrics(found, outputs)

        missed = wrong(table, truth, predicted)
        passengers.write(missed, outputs / WRONG)
        passengers.log(missed, passengers.destination("evaluate"), WRONG, "written")
        for title, paint in all_plots(pipeline, features, model).items():
            plots.draw(outputs / plots.file_name(title), title, paint)


if __name__ == "__main__":
    main()
