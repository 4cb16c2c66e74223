"""A step that did not end well is never reused, whatever its run says; and what is told then."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlflow_workflow.identity.code import Code
from mlflow_workflow.run import provenance
from mlflow_workflow.run.provenance import Provenance
from mlflow_workflow.server.tags import NOTE
from tests.conftest import Project, new_project

pytestmark = pytest.mark.slow

HOW = '''

def end_as_asked() -> None:
    """Ends as the environment variable HOW says; it is no part of the step's identity."""
    import os
    import signal
    import sys

    from mlflow import MlflowClient

    how = os.environ.get("HOW")
    if how == "exit":
        print("there is a hole in the data")
        sys.exit(1)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "lie":
        MlflowClient().set_terminated(os.environ["MLFLOW_RUN_ID"], "FAILED")
        os._exit(0)
    if how == "nothing":
        sys.exit(0)

'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    found = new_project(tmp_path_factory.mktemp("failing") / "project", empty_store)
    found.edit("steps/gather.py", "\n\n@click.command", f"{HOW}\n@click.command")
    found.edit("steps/gather.py", "    with step()", "    end_as_asked()\n    with step()")
    found.commit("a step that can fail in every way")
    return found


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("exit", "FAILED", "gather failed"),
        ("kill", "FAILED", "gather failed"),
        ("lie", "FAILED", "gather ended its own run as FAILED"),
        ("nothing", "FAILED", "gather left no complete outputs"),
    ],
)
def test_a_step_that_did_not_end_well_is_not_reused(
    project: Project, how: str, status: str, said: str
) -> None:
    project.variables["HOW"] = how
    done = project.main("left")
    assert done.code == 1, done.text
    assert done.states() == {"gather": "failed", "left": "skipped"}
    assert said in done.text
    assert "Steps that finished will be reused next time" in done.text
    run = project.children("gather")[0]
    assert run.info.run_id in done.text
    assert run.info.status == status
    assert project.parents()[0].info.status == "FAILED"
    if how == "exit":
        assert "    there is a hole in the data" in done.text


def test_after_all_these_failures_the_step_runs_and_is_then_reused(project: Project) -> None:
    del project.variables["HOW"]
    failed = {run.info.run_id for run in project.children("gather")}
    assert len(failed) == 4
    done = project.main("gather")
    assert done.states() == {"gather": "ran"}
    assert project.main("gather").states() == {"gather": "reused"}
    assert project.children("gather")[0].info.run_id not in failed


def test_a_request_that_cannot_be_met_ends_the_parent_run_failed_with_the_reason(
    project: Project,
) -> None:
    children = len(project.children("gather"))
    done = project.mlflow_run("task=gahter")
    assert done.code != 0
    assert "Error: unknown task 'gahter'; did you mean 'gather'?" in done.text
    parent = project.parents()[0]
    assert parent.info.status == "FAILED"
    assert "unknown task 'gahter'" in parent.data.tags[NOTE]
    assert len(project.children("gather")) == children


def test_a_command_that_ended_its_own_run_failed_and_the_run_says_so(project: Project) -> None:
    run_id = project.client.create_run("0").info.run_id
    project.variables["MLFLOW_RUN_ID"] = run_id
    program = f"import mlflow; mlflow.MlflowClient().set_terminated({run_id!r}, 'KILLED')"
    done = project.command(
        sys.executable, "-m", "mlflow_workflow.step", "--", sys.executable, "-c", program
    )
    del project.variables["MLFLOW_RUN_ID"]
    assert done.code == 1, done.text
    assert "the step ended its own run as KILLED" in done.text
    assert "exit code 0" not in done.text


def test_uncommitted_changes_that_could_not_be_kept_are_kept_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(code: Code) -> bytes:
        raise OSError(28, "No space left on device")

    mine = Provenance(SimpleNamespace(), tmp_path, tmp_path)  # type: ignore[arg-type]
    code = Code(tmp_path, "0" * 40, "", {"a.py": "0"})
    monkeypatch.setattr(provenance, "patch", full)
    with pytest.raises(OSError, match="No space left"):
        mine.patch(code)
    monkeypatch.setattr(provenance, "patch", lambda code: b"diff")
    file = mine.patch(code)
    assert file is not None
    assert file.read_bytes() == b"diff"
