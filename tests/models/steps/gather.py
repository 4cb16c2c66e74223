"""Copy a table.

Reads rows.csv in the folder --input

Writes rows.csv
"""

from pathlib import Path

import click

from mlflow_workflow.for_steps import datasets, tables
from mlflow_workflow.step import step


@click.command(help=__doc__)
@click.option("--input", "folder", required=True, type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    with step() as outputs:
        rows = tables.write(tables.pieces(folder / "rows.csv", key="id"), outputs / "rows.csv")
        datasets.log_read(folder / "rows.csv", rows)
        datasets.log_written(outputs / "rows.csv", rows)


if __name__ == "__main__":
    main()
