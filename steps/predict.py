"""Predict who survives, with a trained model.

Reads test.csv in the outputs of preprocess, model in the outputs of train

Writes test_prediction.csv (PassengerId, Survived), in the order of test.csv
"""

# First of all: while it is imported it looks through all modules there are.
import skops.io  # noqa: F401

# isort: split
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from mlflow_workflow.for_steps import datasets, tables
from mlflow_workflow.for_steps.model import columns_of, load_model
from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps.passengers import FOLDER, KEY, TARGET, inputs

TABLE = "test.csv"
RESULT = "test_prediction.csv"


def predicted(ids: pa.Array, survived: Any) -> pa.RecordBatch:
    """Give the table that Kaggle wants to be handed."""
    outcome = pa.array(survived.astype("int64")).cast(pa.string())
    return pa.record_batch({KEY: ids, TARGET: outcome})


def predictions(file: Path, model: Any, taken: dict[str, bool]) -> Iterator[pa.RecordBatch]:
    """Predict the passengers of a file, some at a time."""
    for piece in tables.pieces(file, key=KEY):
        table = pa.Table.from_batches([piece])
        yield predicted(piece[KEY], model.predict(inputs(table, taken, file)))


@click.command(cls=StepCommand, help=__doc__)
@click.option("--preprocess", required=True, type=FOLDER)
@click.option("--train", required=True, type=FOLDER)
def main(preprocess: Path, train: Path) -> None:
    """Run the step."""
    with step() as outputs:
        model, taken = load_model(train / "model"), columns_of(train / "model")
        found = predictions(preprocess / TABLE, model, taken)
        rows = tables.write(found, outputs / RESULT)
        datasets.log_read(preprocess / TABLE, rows, "preprocess")
        datasets.log_written(outputs / RESULT, rows)


if __name__ == "__main__":
    main()
