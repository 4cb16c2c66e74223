"""Keep the columns of the passengers that a model may learn from.

Reads train.csv and test.csv in the folder --input

Writes train.csv (PassengerId, Survived, features) and test.csv (PassengerId, features)
"""

from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd

from mlflow_workflow.step import step
from steps import passengers
from steps.passengers import KEY, TARGET

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


def prepared(table: pd.DataFrame, features: Sequence[str], file: Path) -> pd.DataFrame:
    """Keep id, features and (for training) target of a table that was read from that file."""
    return passengers.columns(table, [*FILES[file.name], *features], file)


@click.command(help=__doc__)
@click.option("--input", "folder", required=True, type=passengers.FOLDER)
@click.option("--features", required=True)
def main(folder: Path, features: str) -> None:
    """Run the step."""
    names = feature_names(features)
    with step() as outputs:
        for file in FILES:
            table = passengers.read(folder / file)
            kept = prepared(table, names, folder / file)
            passengers.write(kept, outputs / file)
            passengers.log(table, str(folder), file, "read")
            passengers.log(kept, passengers.destination("preprocess"), file, "written")


if __name__ == "__main__":
    main()
