"""Takes for ever when it is tried for the first time. Writes: number.txt."""

import time
from pathlib import Path

import click

from mlflow_workflow.step import step


@click.command(help=__doc__)
@click.option("--number", required=True, type=int)
def main(number: int) -> None:
    tried = Path("..", f"tried-{number}")
    if not tried.exists():
        tried.touch()
        time.sleep(100)
    with step() as outputs:
        (outputs / "number.txt").write_text(f"{number}\n")


if __name__ == "__main__":
    main()
