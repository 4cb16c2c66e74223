"""What goes wrong around a result neither loses it nor makes it twice."""

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from mlflow_workflow.basics import retries
from mlflow_workflow.run import publish
from mlflow_workflow.server.store import Store
from tests.conftest import Project
from tests.in_process import quick_project, run


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The example, with `left` done once, and no pause between tries."""
    monkeypatch.setattr(retries, "PAUSE", 0.0)
    found = quick_project(tmp_path / "project", empty_store)
    assert run(found, "left").code == 0
    return found


def test_a_published_run_without_the_digest_of_its_outputs_is_not_reused(project: Project) -> None:
    left = project.children("left")[0]
    project.client.delete_tag(left.info.run_id, "workflow.outputs")
    done = run(project, "left")
    assert done.states() == {"gather": "reused", "left": "ran"}
    assert "nobody knows what its outputs were" in done.line("left")


def test_equal_nodes_of_a_sweep_run_once_though_nobody_waits_for_others(project: Project) -> None:
    before = len(project.children("left"))
    done = run(project, "left", "--sweep", "{factor: [3, 3.0, 3e0]}", "--wait", "false")
    states = [state for node, state in done.states().items() if node == "left"]
    assert done.code == 0, done.text
    assert len(project.children("left")) == before + 1, states


def test_reports_that_cannot_be_stored_are_a_warning_and_the_result_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "log_folder", full)
    done = run(project, "left")
    assert (done.code, done.states()) == (0, {"gather": "reused", "left": "reused"}), done.text
    assert "Warning: the reports could not be stored: [Errno 28] No space left on device" in done.text


def test_a_log_that_cannot_be_kept_does_not_lose_the_result(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Store.log_file

    def fails(store: Store, run_id: str, file: Path, folder: str | None = None) -> None:
        if file.suffix == ".log":
            raise OSError(28, "No space left on device")
        original(store, run_id, file, folder)

    monkeypatch.setattr(Store, "log_file", fails)
    done = run(project, "left", "--factor", "4")
    assert done.states()["left"] == "ran" and done.code == 0
    assert "its log could not be kept" in done.text
    monkeypatch.undo()
    assert run(project, "left", "--factor", "4").states()["left"] == "reused"


def test_an_error_of_the_artifact_store_that_passes_is_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    original = type(project.client).log_artifact

    def flaky(client: object, run_id: str, file: str, folder: str | None = None) -> None:
        if file.endswith("record.json") and len(failed) < 2:
            failed.append(file)
            raise ConnectionResetError("reset by peer")
        original(client, run_id, file, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(type(project.client), "log_artifact", flaky)
    done = run(project, "left", "--factor", "5")
    assert len(failed) == 2 and "not reused later" not in done.text, done.text
    assert run(project, "left", "--factor", "5").states()["left"] == "reused"


def test_an_error_of_one_node_does_not_stop_the_others_that_shall_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = publish.seen

    def fails(world: object, execution: object) -> object:
        if "factor=7" in execution.node.name:  # type: ignore[attr-defined]
            raise OSError(5, "Input/output error")
        return original(world, execution)  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "seen", fails)
    done = run(project, "left", "--sweep", "{factor: [6, 7, 8]}", "--keep_going", "true")
    assert done.code == 1
    assert "Input/output error" in done.text
    made = [
        each.data.params["factor"] for each in project.children("left") if each.info.status == "FINISHED"
    ]
    assert {"6", "8"} <= set(made)
    assert [r for r in project.runs() if r.info.status == "RUNNING"] == []


def test_marks_are_left_out_where_one_may_only_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = project.children("left")[0]
    (project.outputs(left, "left") / "left.txt").unlink()
    original = Store.tag

    def forbids(store: Store, run_id: str, tags: dict[str, str]) -> None:
        if run_id == left.info.run_id:
            raise MlflowException("Permission denied", PERMISSION_DENIED)
        original(store, run_id, tags)

    monkeypatch.setattr(Store, "tag", forbids)
    done = run(project, "left")
    assert (done.code, done.states()["left"]) == (0, "ran"), done.text


def test_a_run_that_a_lost_answer_made_twice_is_withdrawn_in_the_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = type(project.client).create_run
    lost: list[str] = []

    def twice(client: object, *given: object, **named: object) -> object:
        made = original(client, *given, **named)  # type: ignore[arg-type]
        if not lost:
            lost.append(made.info.run_id)
            raise ConnectionError("the answer was lost")
        return made

    monkeypatch.setattr(type(project.client), "create_run", twice)
    monkeypatch.setattr("mlflow_workflow.server.patience.ERRORS", (MlflowException, ConnectionError))
    done = run(project, "left", "--factor", "9")
    assert done.code == 0, done.text
    stray = project.client.get_run(lost[0])
    assert (stray.info.lifecycle_stage, stray.info.status) == ("deleted", "KILLED")
