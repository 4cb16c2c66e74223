"""Changes of code that `git status` does not tell: of hidden files, in submodules and behind links."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_workflow.identity.code import read_code
from mlflow_workflow.identity.patch import patch
from tests.conftest import begin_repository, copy_project, git
from tests.identity.test_identity import edit, prints


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


def add_submodule(project: Path, ignored: str = "") -> Path:
    """A submodule `steps/inside` whose module `secret` the step `left` imports."""
    origin = project.parent / "origin"
    origin.mkdir()
    (origin / "told.py").write_text("value = 1\n")
    (origin / ".gitignore").write_text(ignored)
    begin_repository(origin)
    allow = ("-c", "protocol.file.allow=always")
    git(project, *allow, "submodule", "--quiet", "add", str(origin), "steps/inside")
    edit(project, "steps/left.py", "\nfrom steps.inside import secret, told\n")
    commit(project)
    return project / "steps" / "inside"


# -- hidden files

FLAGS = ("--assume-unchanged", "--skip-worktree")


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", ["steps/numbers.py", 'steps/odd "name"\n.py'])
def test_an_edited_file_that_git_shall_not_look_at_is_a_change(
    project: Path, flag: str, name: str
) -> None:
    before = prints(project)
    git(project, "update-index", flag, name)
    assert prints(project) == before
    edit(project, name)
    assert list(read_code(project).changes) == [name]
    assert b"edited" in patch(read_code(project))
    assert prints(project)["commit"] != before["commit"]
    git(project, "update-index", f"--no-{flag[2:]}", name)
    git(project, "checkout", "--quiet", name)
    assert prints(project) == before


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


def test_a_module_that_a_submodule_ignores_counts(project: Path) -> None:
    inside = add_submodule(project, "secret.py\n")
    (inside / "secret.py").write_text("value = 1\n")
    before = prints(project), prints(project, "right")
    (inside / "secret.py").write_text("value = 2\n")
    assert prints(project)["commit"] != before[0]["commit"]
    assert prints(project, "right") == before[1]


def test_what_python_leaves_behind_in_a_submodule_is_no_change(project: Path) -> None:
    inside = add_submodule(project)
    before = prints(project)
    for content in "12":
        (inside / "__pycache__").mkdir(exist_ok=True)
        (inside / "__pycache__" / "told.pyc").write_text(content)
        assert read_code(project).changes == {}
        assert prints(project) == before


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
    before = prints(project)
    IN_A_SUBMODULE[change](inside)
    assert list(read_code(project).changes) == ["steps/inside"]
    assert prints(project)["commit"] != before["commit"]


def test_what_a_submodule_ignores_does_not_count_beside_a_change_in_it(project: Path) -> None:
    inside = add_submodule(project, "cache/\n")
    edit(inside, "told.py")
    before = prints(project)
    edit(inside, "cache/x")
    assert prints(project) == before


def test_a_module_that_an_untracked_repository_ignores_counts(project: Path) -> None:
    inside = project / "steps" / "inside"
    inside.mkdir()
    (inside / ".gitignore").write_text("secret.py\n")
    begin_repository(inside)
    edit(inside, "secret.py")
    edit(project, "steps/left.py", "\nfrom steps.inside import secret\n")
    before = prints(project)
    edit(inside, "secret.py")
    assert prints(project)["commit"] != before["commit"]


# -- links


@pytest.mark.parametrize("tracked", [True, False])
def test_a_package_behind_a_link_counts(project: Path, tracked: bool) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    edit(outside, "helper.py")
    (project / "linked").symlink_to(outside)
    edit(project, "steps/left.py", "\nfrom linked import helper\n")
    if tracked:
        commit(project)
    before = prints(project), prints(project, "right")
    edit(outside, "helper.py")
    assert prints(project)["commit"] != before[0]["commit"]
    assert prints(project, "right") == before[1]


def test_a_package_behind_a_link_counts_without_git(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    edit(outside, "helper.py")
    (project / "linked").symlink_to(outside)
    edit(project, "steps/left.py", "\nfrom linked import helper\n")
    monkeypatch.setenv("PATH", "/nowhere")
    before = prints(project)
    edit(outside, "helper.py")
    assert prints(project)["commit"] != before["commit"]
