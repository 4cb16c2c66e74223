"""Predict the labels that are known.

Reads rows.csv in the outputs of gather, model in the outputs of train

Writes predicted.csv
"""

from pathlib import Path

import click

from mlflow_workflow.for_steps import tables
from mlflow_workflow.for_steps.model import columns_of, load_model
from mlflow_workflow.step import step


@click.command(help=__doc__)
@click.option("--gather", required=True, type=click.Path(path_type=Path))
@click.option("--train", required=True, type=click.Path(path_type=Path))
def main(gather: Path, train: Path) -> None:
    with step() as outputs:
        model, taken = load_model(train / "model"), list(columns_of(train / "model"))
        features = tables.typed(tables.read(gather / "rows.csv", taken)).to_pandas()
        lines = "".join(f"{label}\n" for label in model.predict(features))
        (outputs / "predicted.csv").write_text(f"label\n{lines}")


if __name__ == "__main__":
    main()
