"""Split a table into the rows to learn from and the rows to judge by.

Reads the CSV file --input

Writes train.csv, test.csv
"""

from pathlib import Path

import click
import pandas as pd
from sklearn.model_selection import train_test_split

from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand

TARGET = "cultivar"


def parts(table: pd.DataFrame, test_share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to learn from and those to judge by, with the same share of each cultivar."""
    train, test = train_test_split(
        table, test_size=test_share, random_state=seed, stratify=table[TARGET]
    )
    return train, test


@click.command(cls=StepCommand, help=__doc__)
@click.option("--input", "file", required=True, type=click.Path(path_type=Path), help="a CSV file")
@click.option("--test_share", required=True, type=float, help="of the rows, to judge by")
@click.option("--seed", required=True, type=int, help="of what is drawn by chance")
def main(file: Path, test_share: float, seed: int) -> None:
    """Run the step."""
    with step() as outputs:
        train, test = parts(pd.read_csv(file), test_share, seed)
        train.to_csv(outputs / "train.csv", index=False)
        test.to_csv(outputs / "test.csv", index=False)


if __name__ == "__main__":
    main()
