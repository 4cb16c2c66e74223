"""Changes of code that `git status` would not tell: of hidden files, and in submodules."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_workflow.identity.code import read_code
from mlflow_workflow.identity.patch import patch
from tests.conftest import begin_repository, copy_project, git
from tests.identity.seen import edit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    copy_project(folder, "example")
    (folder / "steps" / 'odd "name"\n.py').write_text("value = 1\n")
    begin_repository(folder)
    return folder


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "change")


def add_submodule(project: Path) -> Path:
    """A submodule `steps/inside`."""
    origin = project.parent / "origin"
    origin.mkdir()
    (origin / "told.py").write_text("value = 1\n")
    begin_repository(origin)
    allow = ("-c", "protocol.file.allow=always")
    git(project, *allow, "submodule", "--quiet", "add", str(origin), "steps/inside")
    commit(project)
    return project / "steps" / "inside"


# -- hidden files

FLAGS = ("--assume-unchanged", "--skip-worktree")


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", ["steps/numbers.py", 'steps/odd "name"\n.py'])
def test_an_edited_file_that_git_shall_not_look_at_is_a_change(
    project: Path, flag: str, name: str
) -> None:
    git(project, "update-index", flag, name)
    assert read_code(project).changes == {}
    edit(project, name)
    assert list(read_code(project).changes) == [name]
    assert b"edited" in patch(read_code(project))


def test_a_hidden_file_that_is_gone_is_a_change(project: Path) -> None:
    git(project, "update-index", "--assume-unchanged", "steps/numbers.py")
    (project / "steps" / "numbers.py").unlink()
    assert read_code(project).changes == {"steps/numbers.py": "deleted"}


def test_a_hidden_link_is_compared_by_where_it_leads(project: Path) -> None:
    link = project / "steps" / "link.py"
    link.symlink_to("numbers.py")
    commit(project)
    git(project, "update-index", "--assume-unchanged", "steps/link.py")
    assert read_code(project).changes == {}
    link.unlink()
    link.symlink_to("left.py")
    assert list(read_code(project).changes) == ["steps/link.py"]


def test_what_a_sparse_checkout_leaves_out_is_no_change_and_not_deleted_by_the_patch(
    project: Path,
) -> None:
    git(project, "sparse-checkout", "set", "steps")
    assert not (project / "data").exists()
    assert read_code(project).changes == {}
    edit(project, "steps/left.py")
    assert b"deleted" not in patch(read_code(project))


# -- submodules


def test_what_python_leaves_behind_in_a_submodule_is_no_change(project: Path) -> None:
    inside = add_submodule(project)
    (inside / "__pycache__").mkdir()
    (inside / "__pycache__" / "told.pyc").write_text("1")
    assert read_code(project).changes == {}


def commit_edited(folder: Path) -> None:
    edit(folder, "told.py")
    commit(folder)


IN_A_SUBMODULE: dict[str, Callable[[Path], None]] = {
    "an edited file": lambda folder: edit(folder, "told.py"),
    "a new file": lambda folder: edit(folder, "new.sql"),
    "another commit": commit_edited,
    "a deleted file": lambda folder: (folder / "told.py").unlink(),
}


@pytest.mark.parametrize("change", IN_A_SUBMODULE)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_change_in_a_submodule_is_a_change(project: Path, change: str, hidden: bool) -> None:
    inside = add_submodule(project)
    if hidden:
        git(project, "update-index", "--assume-unchanged", "steps/inside")
    IN_A_SUBMODULE[change](inside)
    assert list(read_code(project).changes) == ["steps/inside"]
