"""Train a random forest to tell the cultivars apart.

Reads train.csv in the outputs of split

Writes model: the fitted forest in MLflow's model format
"""

from pathlib import Path

import click
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from mlflow_workflow.for_steps.model import save_model
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
        save_model(fitted(table, trees, seed), outputs / "model", table.drop(columns=TARGET))


if __name__ == "__main__":
    main()
