"""`step()`: what is left becomes the outputs; everything else is an error, not an empty result."""

import json
import os
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, Done, Project
from tests.servers import tracking_server

pytestmark = pytest.mark.slow
BEGINNING = "import os, shutil, sys\nfrom mlflow_workflow.step import step\n"


@pytest.fixture
def project(make_project: object) -> Project:
    return make_project("example")  # type: ignore[operator, no-any-return]


def leave(project: Project, program: str, *command: str) -> tuple[Done, Run]:
    """Runs a program, or a command, as a step of a run that is there already."""
    run = project.client.create_run("0", tags={"mlflow.project.entryPoint": "leave"})
    project.variables |= {"MLFLOW_RUN_ID": run.info.run_id, "PYTHONPATH": str(ROOT)}
    words = command or (sys.executable, "-c", BEGINNING + program)
    done = project.command(*words)
    del project.variables["MLFLOW_RUN_ID"]
    return done, project.client.get_run(run.info.run_id)


def artifacts(run: Run) -> list[str]:
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_what_is_left_is_the_runs_folder_named_after_the_step_with_a_manifest(project: Project) -> None:
    done, run = leave(project, "with step() as o: (o / 'a.txt').write_text('a')")
    assert done.code == 0, done.text
    assert artifacts(run) == ["leave/a.txt", "manifest.json"]
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    assert json.loads((root / "manifest.json").read_text())["a.txt"]["size"] == 1


def test_a_second_step_in_a_process_is_an_error(project: Project) -> None:
    twice = "with step() as o: pass\nwith step() as o: (o / 'a.txt').write_text('a')\n"
    done, run = leave(project, twice)
    assert done.code == 1
    assert f"step() was used already for run {run.info.run_id}" in done.text
    assert len(project.runs()) == 1, "the second must not make a run of its own"


def test_a_process_that_a_step_starts_is_no_step_of_its_own(project: Project) -> None:
    inner = f"{BEGINNING}with step() as o: pass"
    done, _ = leave(
        project, f"import subprocess\nwith step(): subprocess.run([sys.executable, '-c', {inner!r}])"
    )
    assert "step() was used already" in done.text
    assert len(project.runs()) == 1


def test_without_a_run_that_was_given_each_step_of_a_process_makes_its_own(project: Project) -> None:
    project.variables["PYTHONPATH"] = str(ROOT)
    program = f"{BEGINNING}with step(): pass\nwith step(): pass"
    assert project.command(sys.executable, "-c", program).code == 0
    assert len(project.runs()) == 2


def test_a_forked_child_that_leaves_the_block_is_an_error_and_leaves_the_outputs_alone(
    project: Project,
) -> None:
    forked = """
with step() as o:
    child = os.fork()
    if child:
        ended = os.waitpid(child, 0)[1]
        (o / 'a.txt').write_text(str(ended >> 8))
"""
    done, run = leave(project, forked)
    assert done.code == 0, done.text
    assert "leaves the block of step() that process" in done.text
    assert artifacts(run) == ["leave/a.txt", "manifest.json"]
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (root / "leave/a.txt").read_text() == "1"
    assert run.info.status == "FINISHED"


def test_a_forked_child_that_exits_inside_the_block_does_no_harm(project: Project) -> None:
    forked = """
with step() as o:
    if not (child := os.fork()):
        (o / 'a.txt').write_text('a')
        sys.exit(0)
    os.waitpid(child, 0)
"""
    done, run = leave(project, forked)
    assert done.code == 0, done.text
    assert artifacts(run) == ["leave/a.txt", "manifest.json"]


@pytest.mark.parametrize("away", ["shutil.rmtree(o)", "shutil.move(o, o.with_name(o.name + '-away'))"])
def test_a_folder_that_is_gone_is_an_error(project: Project, away: str, tmp_path: Path) -> None:
    project.variables["TMPDIR"] = str(tmp_path)
    done, run = leave(project, f"with step() as o: (o / 'a.txt').write_text('a'); {away}")
    assert done.code == 1
    assert "is gone" in done.text
    assert artifacts(run) == []
    assert run.info.status == "FAILED"


def test_a_file_that_changes_while_it_is_stored_is_an_error(project: Project) -> None:
    # What the store gets is another content than what was there before, of the same size.
    changing = """
import mlflow
store = mlflow.MlflowClient.log_artifacts
def late(self, run_id, local_dir, artifact_path=None):
    open(os.path.join(local_dir, 'a.txt'), 'w').write('b')
    store(self, run_id, local_dir, artifact_path)
mlflow.MlflowClient.log_artifacts = late
with step() as o: (o / 'a.txt').write_text('a')
"""
    done, run = leave(project, changing)
    assert done.code == 1
    assert "what was stored of the outputs is changed: a.txt" in done.text
    assert "manifest.json" not in artifacts(run)


def test_what_a_store_far_away_lost_is_an_error(project: Project, tmp_path: Path) -> None:
    losing = """
import mlflow
store = mlflow.MlflowClient.log_artifacts
def lossy(self, run_id, local_dir, artifact_path=None):
    os.remove(os.path.join(local_dir, 'b.txt'))
    store(self, run_id, local_dir, artifact_path)
    open(os.path.join(local_dir, 'b.txt'), 'w').write('b')
mlflow.MlflowClient.log_artifacts = lossy
with step() as o: [(o / name).write_text('b') for name in ('a.txt', 'b.txt')]
"""
    with tracking_server(tmp_path / "uploads", project) as url:
        remote = Project(project.folder, url, dict(project.variables))
        client = MlflowClient(url)
        experiment = client.create_experiment("far", artifact_location="mlflow-artifacts:/far")
        run = client.create_run(experiment, tags={"mlflow.project.entryPoint": "leave"})
        remote.variables |= {"MLFLOW_RUN_ID": run.info.run_id, "PYTHONPATH": str(ROOT)}
        done = remote.command(sys.executable, "-c", BEGINNING + losing)
        assert done.code == 1
        assert "what was stored of the outputs is gone: b.txt" in done.text
        assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["leave"]


def test_help_makes_no_run(project: Project) -> None:
    run = project.client.create_run("0")
    project.variables["MLFLOW_RUN_ID"] = run.info.run_id
    for words in (["mlflow_workflow.step", "--help"], ["steps.gather", "--help"]):
        done = project.command(sys.executable, "-m", *words)
        assert done.code == 0, done.text
        assert done.text.lower().startswith("usage: python -m ")
        assert "Traceback" not in done.text
    (only,) = project.runs()
    assert only.info.status == "RUNNING", "what was only asked for help is not over"


@pytest.mark.parametrize("words", [[], ["--"], ["--hepl"]])
def test_without_a_command_there_is_only_the_usage(project: Project, words: list[str]) -> None:
    done = project.command(sys.executable, "-m", "mlflow_workflow.step", *words)
    assert (done.code, done.text[:6]) == (2, "usage:")
    assert project.runs() == []


def test_a_command_that_is_not_there_is_one_sentence(project: Project) -> None:
    words = [sys.executable, "-m", "mlflow_workflow.step", "--", "no-such-command", "x"]
    done, run = leave(project, "", *words)
    assert done.code == 1
    assert done.text.endswith("cannot run no-such-command: No such file or directory\n")
    assert "Traceback" not in done.text
    assert run.info.status == "FAILED"


def test_a_commands_exit_code_is_the_steps(project: Project) -> None:
    words = [sys.executable, "-m", "mlflow_workflow.step", "--", "sh", "-c", "exit 7"]
    done, run = leave(project, "", *words)
    assert (done.code, run.info.status) == (7, "FAILED")
    words[-1] = f"kill -9 $$; {os.devnull}"
    done, _ = leave(project, "", *words)
    assert done.code == 137
