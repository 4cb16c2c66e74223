"""The Dataset column: what was read and written, from where, of which columns and how many rows."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import DatasetInput

from mlflow_workflow.basics.files import sha256_of
from mlflow_workflow.for_steps import datasets


@pytest.fixture
def file(tmp_path: Path) -> Path:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    (tmp_path / "people.csv").write_text("id,age,name\n1,2.5,x\n2,,y\n")
    return tmp_path / "people.csv"


def logged(run_id: str) -> DatasetInput:
    (found,) = mlflow.get_run(run_id).inputs.dataset_inputs
    return found


def test_a_table_is_shown_with_name_digest_columns_and_rows(file: Path) -> None:
    with mlflow.start_run() as run:
        datasets.log_read(file, 2)
    found = logged(run.info.run_id)
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "read")]
    assert found.dataset.name == "people"
    assert sha256_of(file).startswith(found.dataset.digest)
    columns = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert {c["name"]: c["type"] for c in columns} == {"id": "long", "age": "double", "name": "string"}
    assert json.loads(found.dataset.profile) == {"num_rows": 2, "num_elements": 6}


def test_mlflow_loads_what_is_shown(file: Path) -> None:
    with mlflow.start_run() as run:
        datasets.log_read(file, 2)
    source = mlflow.data.get_source(logged(run.info.run_id).dataset)
    assert Path(source.load()).read_bytes() == file.read_bytes()


def test_outputs_that_are_read_are_named_by_their_run(file: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("gather", "runs:/1234/gather")
    with mlflow.start_run(run_id=run.info.run_id):
        datasets.log_read(file, 2, "gather")
    assert json.loads(logged(run.info.run_id).dataset.source) == {"uri": "runs:/1234/gather/people.csv"}


def test_outputs_that_are_written_are_named_by_this_run_and_step(file: Path) -> None:
    with mlflow.start_run(tags={"mlflow.project.entryPoint": "gather"}) as run:
        datasets.log_written(file, 2)
    uri = f"runs:/{run.info.run_id}/gather/people.csv"
    assert json.loads(logged(run.info.run_id).dataset.source) == {"uri": uri}


def test_without_a_run_nothing_is_shown(file: Path) -> None:
    datasets.log_read(file, 2)
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
