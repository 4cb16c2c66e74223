"""What the steps know of the passengers: who is who, what became of them, what may be learnt from."""

from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlflow_workflow.for_steps import tables

KEY = "PassengerId"
TARGET = "Survived"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def features(table: pa.Table, file: Path) -> pd.DataFrame:
    """Give what a model may learn from: all columns but id and target, typed.

    Raises ClickException: there is no other column.
    """
    names = [name for name in table.schema.names if name not in (KEY, TARGET)]
    if not names:
        raise click.ClickException(f"{file} has no features, only {KEY} and {TARGET}")
    kept: pd.DataFrame = tables.typed(table.select(names)).to_pandas()
    return kept


def target(table: pa.Table, file: Path) -> "pd.Series[int]":
    """Tell who survived. Raises ClickException for anything but 0 and 1."""
    tables.check_columns(table.schema.names, [TARGET], file)
    known = pc.is_in(table[TARGET], pa.array(["0", "1"]))
    if (row := pc.index(known, False).as_py()) >= 0:
        who, said = table[KEY][row], table[TARGET][row].as_py()
        raise click.ClickException(f"{file}: {TARGET} of {KEY} {who} is {said!r}; it must be 0 or 1")
    outcome: pd.Series[int] = table[TARGET].cast(pa.int64()).to_pandas()
    return outcome


def inputs(table: pa.Table, taken: dict[str, bool], file: Path) -> pd.DataFrame:
    """Give the columns that a model takes, each as text or as numbers, as in training.

    Raises ClickException: a column is missing, or holds text where the model takes numbers.
    """
    tables.check_columns(table.schema.names, [*taken], file)
    return pd.DataFrame(
        {
            name: numbers(table, name, file) if is_number else present
            for name, is_number in taken.items()
            for present in (tables.present(table[name]).to_pandas(),)
        }
    )


def numbers(table: pa.Table, name: str, file: Path) -> "pd.Series[float]":
    """Give a column as numbers, NaN for a missing one. Raises ClickException for anything else."""
    found = tables.as_numbers(table[name])
    if found is None:
        row = next(n for n in range(len(table)) if tables.as_numbers(table[name].slice(n, 1)) is None)
        who, said = table[KEY][row], table[name][row].as_py()
        raise click.ClickException(
            f"{file}: {name} of {KEY} {who} is {said!r} where training had numbers"
        )
    values: pd.Series[float] = found.cast(pa.float64()).to_pandas()
    return values
