"""The same workflow from other places: another folder, a git URL, another person, a tracking server."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from mlflow_workflow.server.tags import COMMIT, REPOSITORY, SOURCE, USER
from tests.conftest import Project, begin_repository, copy_project, git, new_project
from tests.servers import git_daemon, tracking_server

pytestmark = pytest.mark.slow


def test_from_another_folder_the_default_store_is_that_of_the_folder(example: Project) -> None:
    caller = example.folder.parent / "else where, 5% é"
    caller.mkdir()
    shutil.copy2(example.uri.removeprefix("sqlite:///"), caller / "mlflow.db")
    example.variables["MLFLOW_TRACKING_URI"] = ""
    words = ["../project", "--env-manager", "local", "--run-name", "my idea", "-P", "task=gather"]
    done = example.command("mlflow", "run", *words, cwd=caller)
    assert done.states() == {"gather": "ran"}, done.text
    there = Project(caller, f"sqlite:///{quote(str(caller / 'mlflow.db'))}")
    assert len(there.children("gather")) == 1
    assert there.parents()[0].info.run_name == "my idea"
    assert list(example.folder.glob("mlflow.db*")) == []
    again = example.command("python", "../project/main.py", "gather", cwd=caller)
    assert again.states() == {"gather": "reused"}


def test_a_relative_path_given_to_a_path_parameter_means_the_project_wherever_one_stands(
    example: Project,
) -> None:
    example.edit(
        "MLproject", "source: {type: string, default: data}", "source: {type: path, default: data}"
    )
    example.commit()
    caller = example.folder.parent / "elsewhere"
    caller.mkdir()
    done = example.command("python", str(example.folder / "main.py"), "gather", cwd=caller)
    assert done.states() == {"gather": "ran"}, done.text


# -- from a git URL


@dataclass(frozen=True)
class Remote:
    """A repository with the example in a subfolder, served by git's daemon; and a store."""

    project: Project
    url: str
    commit: str


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Remote]:
    base = tmp_path_factory.mktemp("remote")
    project = new_project(base / "unused", empty_store)
    copy_project(base / "team" / "sub", "example")
    begin_repository(base / "team")
    first = git(base / "team", "rev-parse", "HEAD").strip()
    (base / "team" / "README.md").write_text("later\n")
    git(base / "team", "add", "--all")
    git(base / "team", "commit", "--quiet", "--message", "later")
    (base / "served").mkdir()
    git(base, "clone", "--quiet", "--bare", str(base / "team"), str(base / "served" / "team.git"))
    with git_daemon(base / "served", project) as url:
        yield Remote(project, f"{url}/team.git", first)


def run_remote(remote: Remote, user: str, url: str, *more: str) -> "dict[str, str]":
    """`mlflow run <git URL>#sub` by a user; gives the states of the steps."""
    person = replace(remote.project, variables={**remote.project.variables, "LOGNAME": user})
    words = ["-P", "task=right", "-P", 'text=it\'s "this" & that']
    command = ["mlflow", "run", url, "--env-manager", "local", *more, *words]
    done = person.command(*command, cwd=remote.project.folder.parent)
    assert done.code == 0, done.text
    return done.states()


def test_a_git_url_with_commit_and_subfolder_runs_and_a_second_person_reuses_all(
    remote: Remote,
) -> None:
    url = f"{remote.url}#sub"
    assert run_remote(remote, "ada", url, "-v", remote.commit) == {"gather": "ran", "right": "ran"}
    assert run_remote(remote, "ben", url, "-v", remote.commit) == {"gather": "reused", "right": "reused"}
    assert [run.data.tags[USER] for run in remote.project.parents()] == ["ben", "ada"]


def test_child_runs_from_a_git_url_say_so_and_never_name_the_temporary_clone(remote: Remote) -> None:
    for run in (*remote.project.children("gather"), *remote.project.children("right")):
        assert run.data.tags[SOURCE] == f"{remote.url}#sub"
        assert run.data.tags[COMMIT] == remote.commit
        assert run.data.tags[REPOSITORY].startswith(remote.url)
        assert run.data.tags[USER] == "ada"


def test_parameters_of_child_runs_are_the_plain_text(remote: Remote) -> None:
    (run,) = remote.project.children("right")
    assert run.data.params["text"] == 'it\'s "this" & that'
    kept = (remote.project.outputs(run, "right") / "text.txt").read_bytes()
    assert kept.partition(b"\0")[0] == b'it\'s "this" & that'


def test_a_clone_of_the_same_commit_reuses_what_the_git_url_made(remote: Remote) -> None:
    base = remote.project.folder.parent
    git(base, "clone", "--quiet", remote.url, str(base / "mine"))
    git(base / "mine", "checkout", "--quiet", remote.commit)
    mine = Project(base / "mine" / "sub", remote.project.uri)
    assert mine.main("gather").states() == {"gather": "reused"}


@pytest.mark.long
def test_credentials_in_a_git_url_reach_no_run(remote: Remote) -> None:
    host, secret = remote.url.removesuffix("team.git"), "https://ada:tops3cret@git.example.org/"
    project = replace(
        remote.project,
        variables={
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{host}.insteadOf",
            "GIT_CONFIG_VALUE_0": secret,
        },
    )
    known = replace(remote, project=project)
    states = run_remote(known, "ada", f"{secret}team.git#sub", "-P", "gather.limit=3")
    assert states == {"gather": "ran", "right": "ran"}
    child = project.children("gather")[0]
    assert child.data.tags[SOURCE] == "https://git.example.org/team.git#sub"
    with closing(sqlite3.connect(project.uri.removeprefix("sqlite:///"))) as store:
        dump = "\n".join(store.iterdump())
    assert "tops3cret" not in dump
    files = (file for file in project.folder.with_name("unused-artifacts").rglob("*") if file.is_file())
    assert not [file for file in files if b"tops3cret" in file.read_bytes()]


# -- against a tracking server


def test_a_tracking_server_that_hands_artifacts_over_serves_all(example: Project) -> None:
    # The server may know nothing of a folder that clients could reach: the copied store's default
    # experiment names one, so a new experiment is used.
    folder = example.folder.parent / "served-artifacts"
    with tracking_server(folder, example) as url:
        example.variables |= {"MLFLOW_TRACKING_URI": url, "MLFLOW_EXPERIMENT_NAME": "served"}
        first = example.main("left")
        assert first.states() == {"gather": "ran", "left": "ran"}, first.text
        assert f"open:    {url}/#/experiments/" in first.text
        assert "mlflow-artifacts:/" in first.line("result:")
        assert example.main("left").states() == {"gather": "reused", "left": "reused"}
        changed = example.main("left", "--factor", "3")
        assert changed.states() == {"gather": "reused", "left": "ran"}
        (lost,) = folder.rglob("numbers.txt")
        lost.unlink()
        healed = example.main("left", "--factor", "4")
        assert healed.states() == {"gather": "ran", "left": "ran"}
        assert "gone: numbers.txt" in healed.line("gather")
