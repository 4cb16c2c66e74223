"""Predict who survives, with a trained model.

Reads test.csv in the outputs of preprocess, model in the outputs of train

Writes test_prediction.csv (PassengerId, Survived), in the order of test.csv
"""

# While skops is imported it looks through all modules there are: first of all, that takes half as long.
import skops.io  # noqa: F401

# isort: split
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pandas as pd

from mlflow_workflow.step import step
from steps import passengers, saved_model
from steps.passengers import KEY, TARGET

RESULT = "test_prediction.csv"


def inputs(table: pd.DataFrame, taken: Mapping[str, bool], file: Path) -> pd.DataFrame:
    """Give the columns that a model takes, each as text or as numbers, as in training.

    Raises ClickException: a column is missing, or holds text where the model takes numbers.
    """
    kept = passengers.columns(table, list(taken), file)
    numbers = [name for name, is_number in taken.items() if is_number]
    as_numbers = {name: passengers.numbers(table, name, file) for name in numbers}
    return kept.where(kept != "").assign(**as_numbers)


def predicted(table: pd.DataFrame, survived: Any) -> pd.DataFrame:
    """Give the table that Kaggle wants to be handed."""
    return pd.DataFrame({KEY: table[KEY], TARGET: survived.astype("int64")})


@click.command(help=__doc__)
@click.option("--preprocess", required=True, type=passengers.FOLDER)
@click.option("--train", required=True, type=passengers.FOLDER)
def main(preprocess: Path, train: Path) -> None:
    """Run the step."""
    with step() as outputs:
        table = passengers.read(preprocess / "test.csv")
        passengers.log(table, passengers.origin("preprocess", preprocess), "test.csv", "read")
        pipeline, taken = saved_model.load(train / "model")
        survived = pipeline.predict(inputs(table, taken, preprocess / "test.csv"))
        result = predicted(table, survived)
        passengers.write(result, outputs / RESULT)
        passengers.log(result, passengers.destination("predict"), RESULT, "written")


if __name__ == "__main__":
    main()
