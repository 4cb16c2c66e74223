"""Compare predictions with what really became of the passengers, and with a baseline's.

Reads test.csv in the outputs of preprocess, model in the outputs of train, test_prediction.csv
in the outputs of predict; the truth in --labels, the baseline's predictions in --baseline

Writes metrics.json and metrics.csv (name, value, low, high), wrong_predictions.csv, and plots

Every metric comes with a 95 % interval, by bootstrap over the passengers.
"""

# First of all: while it is imported it looks through all modules there are.
import skops.io  # noqa: F401

# isort: split
from pathlib import Path

import click
import mlflow
import pandas as pd
import pyarrow as pa

from mlflow_workflow.for_steps import datasets, plots, scores, tables
from mlflow_workflow.for_steps.model import columns_of, load_model
from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps import passengers
from steps.passengers import FILE, FOLDER, KEY, TARGET
from steps.predict import RESULT, TABLE

WRONG = "wrong_predictions.csv"
PREDICTED = "Predicted"


def survival(table: pa.Table, ids: "pd.Series[str]", file: Path) -> "pd.Series[int]":
    """Tell who survives according to the table in a file, in the order of these ids.

    Raises ClickException: the file lacks a passenger, or has one too many.
    """
    found = table[KEY].to_pandas()
    check_same(found, ids, file)
    return passengers.target(table, file).set_axis(found).loc[ids].reset_index(drop=True)


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


def wrong(table: pd.DataFrame, truth: "pd.Series[int]", predicted: "pd.Series[int]") -> pd.DataFrame:
    """Keep the passengers that were wrongly predicted, with both outcomes and their features."""
    known = pd.DataFrame({KEY: table[KEY], TARGET: truth, PREDICTED: predicted})
    both = known.join(table.drop(columns=KEY))
    return both[both[TARGET] != both[PREDICTED]]


def read(file: Path, parameter: str = "") -> pa.Table:
    """Read a table of passengers and show it in the run's data sets."""
    table = tables.read(file, key=KEY)
    datasets.log_read(file, len(table), parameter)
    return table


@click.command(cls=StepCommand, help=__doc__)
@click.option("--preprocess", required=True, type=FOLDER)
@click.option("--train", required=True, type=FOLDER)
@click.option("--predict", required=True, type=FOLDER)
@click.option("--labels", required=True, type=FILE)
@click.option("--baseline", required=True, type=FILE)
def main(preprocess: Path, train: Path, predict: Path, labels: Path, baseline: Path) -> None:
    """Run the step."""
    with step() as outputs:
        table = read(preprocess / TABLE, "preprocess")
        frame = table.to_pandas()
        truth, predicted, guessed = (
            survival(read(file, parameter), frame[KEY], file)
            for file, parameter in ((labels, ""), (predict / RESULT, "predict"), (baseline, ""))
        )
        model, taken = load_model(train / "model"), columns_of(train / "model")
        features = passengers.inputs(table, taken, preprocess / TABLE)

        own = scores.outcome(truth.to_numpy(), predicted.to_numpy(), plots.certainty(model, features))
        found = scores.estimates(own, scores.outcome(truth.to_numpy(), guessed.to_numpy()))
        mlflow.log_metrics(scores.flat(found))
        scores.write(found, outputs)

        missed = wrong(frame, truth, predicted)
        missed.to_csv(outputs / WRONG, index=False, lineterminator="\n", encoding="utf-8")
        datasets.log_written(outputs / WRONG, len(missed))
        plots.draw_all(plots.of_classifier(model, features, own.truth, own.predicted), outputs)


if __name__ == "__main__":
    main()
