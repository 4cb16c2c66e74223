"""Collects the numbers of every file in a folder.

Reads: source/*.txt. Writes: numbers.txt, the first `limit` of them.
"""

from pathlib import Path

import click

from mlflow_workflow.step import step
from steps import numbers


def gather(folder: Path, limit: int) -> list[float]:
    found = [number for file in sorted(folder.glob("*.txt")) for number in numbers.read(file)]
    return found[:limit]


@click.command(help=__doc__)
@click.option("--source", required=True, type=click.Path(path_type=Path))
@click.option("--limit", required=True, type=int)
def main(source: Path, limit: int) -> None:
    with step() as outputs:
        numbers.write(outputs / "numbers.txt", gather(source, limit))


if __name__ == "__main__":
    main()
