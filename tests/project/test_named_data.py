"""What a parameter names: data that counts by content, a text, or a mistake told before all else."""

import os
from pathlib import Path

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.named_data import data_of, data_texts, data_uris
from mlflow_workflow.project.parameters import step_values
from mlflow_workflow.project.request import make_request

PROJECT = """
entry_points:
  main:
    command: python main.py
    parameters:
      task: {default: load}
      config: {default: ""}
      rerun: {default: ""}
      jobs: {type: int, default: 0}
      match: {default: commit}
      plan_format: {default: table}
      keep_going: {default: ""}
      sweep: {default: ""}
  load:
    command: python load.py
    parameters:
      place: {type: path, default: data}
      link: {type: uri, default: "https://example.org/a.csv"}
      text: {type: string, default: plain}
      number: {type: int, default: 1}
"""
WORKFLOW = read_workflow(PROJECT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a b.csv").write_text("1\n")
    (folder / "_").mkdir()
    return folder


def named(project: Path, workflow: Workflow = WORKFLOW, **values: str) -> dict[str, Path]:
    """Parameter → what it names, of those that name data."""
    step = workflow.steps["load"]
    return data_of(project, step, step_values(workflow, values, [])["load"], {})


@pytest.mark.parametrize("parameter", ["link", "text", "place"])
@pytest.mark.parametrize("beginning", ["file://", "file:", "FILE://localhost"])
def test_a_file_uri_of_what_is_on_this_disk_counts_by_content(
    project: Path, parameter: str, beginning: str
) -> None:
    file = project / "data" / "a b.csv"
    uri = file.as_uri().replace("file://", beginning)
    assert named(project, **{parameter: uri})[parameter] == file
    assert not data_uris(WORKFLOW.steps["load"], {"place": uri})  # it need not be fetched


@pytest.mark.parametrize(
    "uri", ["https://example.org/a.csv", "file:///no/such/file", "file://[", "s3://b/k"]
)
def test_a_uri_of_what_is_elsewhere_is_a_text(project: Path, uri: str) -> None:
    assert set(named(project, link=uri, text=uri)) == {"place"}


@pytest.mark.parametrize("uri", ["https://example.org/a.csv", "file://elsewhere/a.csv", "s3://b/k"])
def test_a_path_elsewhere_is_fetched(uri: str) -> None:
    assert data_uris(WORKFLOW.steps["load"], {"place": uri}) == [uri]


@pytest.mark.parametrize(("text", "folder"), [(".", "."), ("..", ".."), ("/", "/"), ("_", "_")])
def test_signs_alone_name_a_folder_only_where_a_path_is_wanted(
    project: Path, text: str, folder: str
) -> None:
    assert named(project, place=text)["place"] == (project / folder).resolve()
    assert "text" not in named(project, text=text)


def refusal(project: Path, *values: str) -> str:
    given = dict(value.split("=", 1) for value in values)
    defaults = {name: p.default or "" for name, p in WORKFLOW.main.parameters.items()}
    with pytest.raises(WorkflowError) as error:
        make_request(project, WORKFLOW, {**defaults, **given})
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("place=", "load.place is '', but a step would get the current folder for it: name a file"),
        ("place=none", "load.place is 'none', but there is no file or folder "),
        ("place=file:///none", "is 'file:///none', but there is no file or folder /none"),
        ("link=data", "load.link is 'data', which is no URI: write file:///… for what is on this disk"),
        ("link=", "load.link is '', which is no URI"),
        ("link=http://[", "load.link is 'http://[', which is no URI"),
        ("place=/dev/zero", "load.place is '/dev/zero', which is neither a file nor a folder"),
        ("text=pipe", "load.text is 'pipe', which is neither a file nor a folder"),
    ],
)
def test_what_names_no_data_where_it_must_is_refused_in_one_sentence(
    project: Path, value: str, said: str
) -> None:
    os.mkfifo(project / "pipe")
    assert said in refusal(project, value)


def test_what_may_be_data_is_kept_once_however_many_combinations_share_it(project: Path) -> None:
    defaults = {name: p.default or "" for name, p in WORKFLOW.main.parameters.items()}
    sweep = f"{{number: {list(range(300))}}}"
    asked = make_request(project, WORKFLOW, {**defaults, "sweep": sweep})
    assert len(asked.variants) == 300
    assert asked.texts == data_texts(WORKFLOW, [step_values(WORKFLOW, {}, [])])
    assert asked.texts == {
        ("path", "data"),
        ("uri", "https://example.org/a.csv"),
        ("string", "plain"),
    }
