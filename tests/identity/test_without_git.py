"""Where git cannot answer, the code is what the project's files hold: reused, and never stale."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Project, git, new_project

pytestmark = pytest.mark.slow
UNSAFE = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """A project folder that no repository knows, in which gather ran."""
    found = new_project(tmp_path_factory.mktemp("bare") / "project", empty_store)
    shutil.rmtree(found.folder / ".git")
    found.variables["GIT_CEILING_DIRECTORIES"] = str(found.folder.parent)
    done = found.main("gather")
    assert done.states() == {"gather": "ran"}, done.text
    assert "this is no git repository: the code is what the project's files hold" in done.text
    return found


def said_when_all_is_reused(project: Project) -> str:
    done = project.main("gather")
    assert done.code == 0, done.text
    assert done.states() == {"gather": "reused"}, done.text
    return done.text


def test_a_project_without_git_is_reused_and_an_edit_runs_it_again(project: Project) -> None:
    said_when_all_is_reused(project)
    project.edit("steps/numbers.py", ":g}", ":.3g}")
    planned = project.main("gather", "--dry_run", "true")
    assert planned.states() == {"gather": "run"}
    assert "steps/numbers.py changed" in planned.line("gather")
    project.edit("steps/numbers.py", ":.3g}", ":g}")


def test_a_repository_without_a_commit_says_so_and_reuses_the_same_code(project: Project) -> None:
    git(project.folder, "init", "--quiet")
    assert "this git repository has no commit yet" in said_when_all_is_reused(project)


def test_a_folder_that_git_refuses_as_unsafe_says_so_with_the_cure(project: Project) -> None:
    project.variables |= UNSAFE
    text = said_when_all_is_reused(project)
    assert "git refuses this folder as unsafe (git config --global --add safe.directory" in text
    project.variables.pop(*UNSAFE)


def test_a_machine_without_git_says_so(project: Project, tmp_path: Path) -> None:
    for name in ("bash", "sh", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    python = project.environment()["PATH"].partition(":")[0]
    assert not (Path(python) / "git").exists()
    project.variables["PATH"] = f"{python}:{tmp_path}"
    assert "git is not installed" in said_when_all_is_reused(project)
    run = project.main("left")
    assert run.states() == {"gather": "reused", "left": "ran"}, run.text
