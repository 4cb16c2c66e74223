"""Say how often the forest is right about wines that it has not seen.

Reads test.csv in the outputs of split, model in the outputs of train

Writes predictions.csv
"""

from pathlib import Path

import click
import mlflow
import pandas as pd
from sklearn.metrics import accuracy_score

from mlflow_workflow.for_steps.model import load_model
from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps.split import TARGET


@click.command(cls=StepCommand, help=__doc__)
@click.option("--split", required=True, type=click.Path(path_type=Path))
@click.option("--train", required=True, type=click.Path(path_type=Path))
def main(split: Path, train: Path) -> None:
    """Run the step."""
    with step() as outputs:
        table = pd.read_csv(split / "test.csv")
        predicted = load_model(train / "model").predict(table.drop(columns=TARGET))
        mlflow.log_metric("accuracy", accuracy_score(table[TARGET], predicted))
        pd.DataFrame({TARGET: table[TARGET], "predicted": predicted}).to_csv(
            outputs / "predictions.csv", index=False
        )


if __name__ == "__main__":
    main()
