"""Tables of passengers: how every step reads, checks, types, writes and logs them."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import mlflow
import numpy as np
import pandas as pd
from mlflow.data.dataset_source_registry import get_dataset_source_from_json
from mlflow.data.pandas_dataset import from_pandas

from mlflow_workflow.basics.errors import suggestion

KEY = "PassengerId"
TARGET = "Survived"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def read(file: Path) -> pd.DataFrame:
    """Give every value of a CSV file as the text that stands there, "" for a missing one.

    Raises ClickException: no such file, not a table, no passengers, or not one id for each.
    """
    # Read as numbers, a whole number in a column with gaps would come back as 22.0.
    try:
        table = pd.read_csv(file, dtype=str, na_filter=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise click.ClickException(f"there is no file {file.name} in {file.parent}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} is not a CSV table in UTF-8: {error}") from None
    check_ids(table, file)
    return table


def check_ids(table: pd.DataFrame, file: Path) -> None:
    """Raise ClickException unless every row has an id and no two have the same."""
    ids = columns(table, [KEY], file)[KEY]
    if ids.empty:
        raise click.ClickException(f"{file} holds no passengers")
    if (ids == "").any():
        row = int((ids == "").argmax()) + 1
        raise click.ClickException(f"{file}: passenger {row} has no {KEY}")
    if ids.duplicated().any():
        raise click.ClickException(f"{file} has {KEY} {ids[ids.duplicated()].iloc[0]} twice")


def columns(table: pd.DataFrame, names: Sequence[str], file: Path) -> pd.DataFrame:
    """Keep these columns, in this order. Raises ClickException that names a missing one."""
    for name in names:
        if name not in table:
            near = suggestion(name, table.columns)
            raise click.ClickException(f"{file} has no column {name!r}{near}")
    return table[list(names)]


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Turn text into numbers in each column that holds nothing else; missing values are NaN."""
    return table.apply(typed_column) if len(table.columns) else table


def typed_column(column: "pd.Series[str]") -> "pd.Series[float] | pd.Series[str]":
    """Give the column as numbers if every value that is there is one, else as text."""
    present = column.where(column != "")
    found = finite(present)
    return found if found.notna().equals(present.notna()) else present


def finite(column: "pd.Series[str]") -> "pd.Series[float]":
    """Give a column as numbers, NaN for whatever is none, or is infinite."""
    found: pd.Series[float] = pd.to_numeric(column, errors="coerce")
    return found.where(np.isfinite(found))


def numbers(table: pd.DataFrame, name: str, file: Path) -> "pd.Series[float]":
    """Give a column as numbers, NaN for a missing one. Raises ClickException for anything else."""
    found = finite(table[name]).astype(float)
    wrong = table[found.isna() & (table[name] != "")]
    if not wrong.empty:
        first = wrong.iloc[0]
        raise click.ClickException(
            f"{file}: {name} of {KEY} {first[KEY]} is {first[name]!r} where training had numbers"
        )
    return found


def features(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Give what a model may learn from: all columns but id and target, typed.

    Raises ClickException: there is no other column.
    """
    kept = typed(table.drop(columns=[KEY, TARGET], errors="ignore"))
    if kept.columns.empty:
        raise click.ClickException(f"{file} has no features, only {KEY} and {TARGET}")
    return kept


def number_names(table: pd.DataFrame) -> list[str]:
    """Name the columns that hold numbers."""
    return [str(name) for name in table.select_dtypes("number").columns]


def target(table: pd.DataFrame, file: Path) -> "pd.Series[int]":
    """Tell who survived. Raises ClickException for anything but 0 and 1."""
    values = columns(table, [TARGET], file)[TARGET]
    wrong = table[~values.isin(["0", "1"])]
    if not wrong.empty:
        first = wrong.iloc[0]
        raise click.ClickException(
            f"{file}: {TARGET} of {KEY} {first[KEY]} is {first[TARGET]!r}; it must be 0 or 1"
        )
    return values.astype("int64")


def write(table: pd.DataFrame, file: Path) -> None:
    """Write a CSV file, with line feeds on every system."""
    table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")


def origin(parameter: str, folder: Path) -> str:
    """Tell where the step's outputs that a parameter hands over come from.

    The folder may be a temporary copy; the run's parameter of that name then says of what.
    """
    run = mlflow.active_run()
    return str(run.data.params.get(parameter, folder)) if run else str(folder)


def destination(step: str) -> str:
    """Tell where the outputs of the running step will be found."""
    run = mlflow.active_run()
    return f"runs:/{run.info.run_id}/{step}" if run else step


def log(table: pd.DataFrame, place: str, file: str, context: str) -> None:
    """Show a table in the run's data sets, as the file of that name in that place."""
    # from_pandas resolves no runs:/ URI, though the kind of source for files loads from it.
    uri = json.dumps({"uri": f"{place.rstrip('/')}/{file}"})
    source = get_dataset_source_from_json(uri, source_type="local")
    with warnings.catch_warnings():
        # MLflow warns that a column of whole numbers, as in this schema, may later have gaps.
        warnings.simplefilter("ignore", UserWarning)
        dataset = from_pandas(typed(table), source=source, name=Path(file).stem)
        mlflow.log_input(dataset, context=context)
