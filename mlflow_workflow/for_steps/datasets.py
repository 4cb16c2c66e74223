"""The Dataset column of MLflow: which tables a run read and wrote. No table is loaded for it."""

import json
from pathlib import Path

import mlflow
import pyarrow as pa
from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.types import ColSpec, DataType, Schema
from pyarrow import csv as arrow_csv

from mlflow_workflow.basics.files import sha256_of
from mlflow_workflow.for_steps.tables import BLOCK, SYSTEM
from mlflow_workflow.step import name_of

DIGITS = 16
KINDS = {pa.int64(): DataType.long, pa.float64(): DataType.double, pa.bool_(): DataType.boolean}


def log_read(file: Path, rows: int, parameter: str = "") -> None:
    """Show a CSV file that was read. `parameter` names the step whose outputs it is one of.

    The file may then be a temporary copy; the run's parameter of that name says of what.
    """
    if run := mlflow.active_run():
        place = run.data.params.get(parameter, file.parent.as_posix())
        log(run, file, f"{place.rstrip('/')}/{file.name}", rows, "read")


def log_written(file: Path, rows: int) -> None:
    """Show a CSV file of the outputs of this step."""
    if run := mlflow.active_run():
        log(run, file, f"runs:/{run.info.run_id}/{name_of(run)}/{file.name}", rows, "written")


def log(run: Run, file: Path, uri: str, rows: int, context: str) -> None:
    """Show a file in the run's data sets, as what is found under a URI."""
    columns = [column.to_dict() for column in schema(file).inputs]
    shown = Dataset(
        name=file.stem,
        digest=sha256_of(file)[:DIGITS],
        # The kind of source for files, because that loads from runs:/ URIs too.
        source_type="local",
        source=json.dumps({"uri": uri}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": rows, "num_elements": rows * len(columns)}),
    )
    tags = [InputTag("mlflow.data.context", context)]
    mlflow.MlflowClient().log_inputs(run.info.run_id, [DatasetInput(shown, tags)])


def schema(file: Path) -> Schema:
    """Give the columns with the types that the beginning of the file has."""
    with arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(block_size=BLOCK, use_threads=False),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        memory_pool=SYSTEM,
    ) as begun:
        kinds = {field.name: KINDS.get(field.type, DataType.string) for field in begun.schema}
    return Schema([ColSpec(kind, name, required=False) for name, kind in kinds.items()])
