"""Train a random forest to tell the cultivars apart.

Reads train.csv in the outputs of split

Writes model.skops: the fitted forest
"""

from pathlib import Path

import click
import pandas as pd
import skops.io
from sklearn.ensemble import RandomForestClassifier

from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps.split import TARGET


def fitted(table: pd.DataFrame, trees: int, seed: int) -> RandomForestClassifier:
    """A forest that has seen all rows of the table."""
    forest = RandomForestClassifier(n_estimators=trees, random_state=seed)
    return forest.fit(table.drop(columns=TARGET), table[TARGET])


@click.command(cls=StepCommand, help=__doc__)
@click.option("--split", required=True, type=click.Path(path_type=Path))
@click.option("--trees", required=True, type=int, help="of the forest")
@click.option("--seed", required=True, type=int, help="of what is drawn by chance")
def main(split: Path, trees: int, seed: int) -> None:
    """Run the step."""
    with step() as outputs:
        table = pd.read_csv(split / "train.csv")
        skops.io.dump(fitted(table, trees, seed), outputs / "model.skops")


if __name__ == "__main__":
    main()
