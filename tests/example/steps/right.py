"""Counts, and keeps its parameters.

Reads: gather/numbers.txt. Writes: right.txt, text.txt.
"""

from pathlib import Path

import click

from mlflow_workflow.step import step
from steps import numbers


@click.command(help=__doc__)
@click.option("--gather", required=True, type=click.Path(path_type=Path))
@click.option("--text", required=True)
@click.option("--options", required=True)
def main(gather: Path, text: str, options: str) -> None:
    with step() as outputs:
        numbers.write(outputs / "right.txt", [len(numbers.read(gather / "numbers.txt"))])
        (outputs / "text.txt").write_bytes(text.encode() + b"\0" + options.encode())


if __name__ == "__main__":
    main()
