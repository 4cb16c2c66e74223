"""Multiplies. Reads: gather/numbers.txt. Writes: left.txt."""

from pathlib import Path

import click

from mlflow_workflow.step import step
from steps import numbers


@click.command(help=__doc__)
@click.option("--gather", required=True, type=click.Path(path_type=Path))
@click.option("--factor", required=True, type=float)
def main(gather: Path, factor: float) -> None:
    with step() as outputs:
        found = numbers.read(gather / "numbers.txt")
        numbers.write(outputs / "left.txt", [number * factor for number in found])


if __name__ == "__main__":
    main()
