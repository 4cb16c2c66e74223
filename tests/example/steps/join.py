"""Adds up. Reads: left/left.txt, right/right.txt. Writes: sum.txt."""

from pathlib import Path

import click
import mlflow

from mlflow_workflow.step import step
from steps import numbers


@click.command(help=__doc__)
@click.option("--left", required=True, type=click.Path(path_type=Path))
@click.option("--right", required=True, type=click.Path(path_type=Path))
def main(left: Path, right: Path) -> None:
    with step() as outputs:
        total = sum(numbers.read(left / "left.txt")) + sum(numbers.read(right / "right.txt"))
        mlflow.log_metric("total", total)
        numbers.write(outputs / "sum.txt", [total])


if __name__ == "__main__":
    main()
