"""Keep the columns of the passengers that a model may learn from.

Reads train.csv and test.csv in the folder --input

Writes train.csv (PassengerId, Survived, features) and test.csv (PassengerId, features)
"""

from pathlib import Path

import click

from mlflow_workflow.for_steps import datasets, tables
from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps.passengers import FOLDER, KEY, TARGET

FILES = {"train.csv": [KEY, TARGET], "test.csv": [KEY]}
"""What is kept of each file beside the features."""


def feature_names(text: str) -> list[str]:
    """Split a comma-separated list. Raises UsageError if it names none, or one that cannot be."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--features names no column: give a list such as Pclass,Age")
    for name in names:
        if name in (KEY, TARGET):
            raise click.UsageError(f"--features names {name}, which no model may learn from")
        if names.count(name) > 1:
            raise click.UsageError(f"--features names {name} twice")
    return names


@click.command(cls=StepCommand, help=__doc__)
@click.option("--input", "folder", required=True, type=FOLDER)
@click.option("--features", required=True)
def main(folder: Path, features: str) -> None:
    """Run the step."""
    names = feature_names(features)
    with step() as outputs:
        for file, others in FILES.items():
            kept = tables.pieces(folder / file, [*others, *names], key=KEY)
            rows = tables.write(kept, outputs / file)
            datasets.log_read(folder / file, rows)
            datasets.log_written(outputs / file, rows)


if __name__ == "__main__":
    main()
