"""What git says of the code: the commit, and every change that it does not hold."""

import os
import stat
from pathlib import Path

import pytest

from mlflow_workflow.identity.code import Code, read_code
from mlflow_workflow.identity.patch import patch
from tests.conftest import begin_repository, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with one commit."""
    folder = tmp_path / "repository"
    for name in ("a.txt", "sub/b.txt", "gone.txt", "with space é.txt", "tool.sh", "staged.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n" * 3)
    (folder / "picture.bin").write_bytes(bytes(range(256)))
    (folder / ".gitignore").write_text("ignored*\n")
    begin_repository(folder)
    return folder


def make_dirty(folder: Path) -> None:
    """Every kind of uncommitted change at once."""
    (folder / "a.txt").write_text("changed\n")
    (folder / "sub" / "b.txt").write_bytes(b"no end of line")
    (folder / "gone.txt").unlink()
    git(folder, "rm", "--quiet", "staged.txt")
    (folder / "with space é.txt").write_text("changed too\n")
    (folder / "new file ü.txt").write_text("new\n")
    (folder / "empty.txt").write_text("")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "new.bin").write_bytes(b"\0\xff\n" * 100)
    (folder / "picture.bin").write_bytes(bytes(reversed(range(256))))
    (folder / "tool.sh").chmod(0o755)
    (folder / "new tool.sh").write_text("#!/bin/sh\r\n")
    (folder / "new tool.sh").chmod(0o755)
    (folder / "link").symlink_to("sub/b.txt")
    (folder / "added.txt").write_text("added\n")
    git(folder, "add", "added.txt")
    (folder / "added.txt").write_text("and changed\n")


def content(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file but git's and ignored ones: bytes (or link target) and executable bit."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not name.startswith((".git/", "ignored")) and (path.is_symlink() or path.is_file()):
            what = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[name] = (what, path.is_symlink() or bool(path.stat().st_mode & stat.S_IXUSR))
    return found


def restored(code: Code, commit: str, into: Path) -> Path:
    """`git checkout <commit> && git apply code.patch` in a fresh clone."""
    assert code.repository
    git(into.parent, "clone", "--quiet", str(code.repository), str(into))
    git(into, "checkout", "--quiet", commit)
    file = into.parent / "code.patch"
    file.write_bytes(patch(code))
    git(into, "apply", str(file))
    return into


# -- the patch


def test_the_patch_restores_every_kind_of_change_exactly(repository: Path, tmp_path: Path) -> None:
    make_dirty(repository)
    code = read_code(repository)
    assert content(restored(code, str(code.commit), tmp_path / "again")) == content(repository)


@pytest.mark.parametrize(
    "setting",
    [
        "diff.noprefix=true",
        "color.ui=always",
        "diff.context=0",
        "diff.external=false",
        "diff.renames=copies",
    ],
)
def test_the_patch_applies_whatever_the_users_git_settings(
    repository: Path, tmp_path: Path, setting: str
) -> None:
    git(repository, "config", *setting.split("="))
    make_dirty(repository)
    code = read_code(repository)
    assert content(restored(code, str(code.commit), tmp_path / "again")) == content(repository)


def test_making_the_patch_leaves_the_users_index_alone(repository: Path) -> None:
    make_dirty(repository)
    before = git(repository, "status", "--porcelain"), git(repository, "diff", "--cached")
    assert patch(read_code(repository))
    assert (git(repository, "status", "--porcelain"), git(repository, "diff", "--cached")) == before


def test_data_is_neither_a_change_nor_in_the_patch(repository: Path) -> None:
    (repository / "sub" / "b.txt").write_text("data\n")
    (repository / "sub" / "new.txt").write_text("data\n")
    (repository / "a.txt").write_text("code\n")
    code = read_code(repository, [repository / "sub"])
    assert list(code.changes) == ["a.txt"]
    assert b"a.txt" in patch(code) and b"data" not in patch(code)


def test_a_clean_repository_has_no_changes_and_no_patch(repository: Path) -> None:
    code = read_code(repository)
    assert (code.dirty, code.changes, patch(code)) == (False, {}, b"")


def test_a_repository_within_the_repository_is_a_change_and_no_crash(
    repository: Path,
) -> None:
    inner = repository / "inner"
    inner.mkdir()
    (inner / "x.txt").write_text("x")
    git(inner, "init", "--quiet")
    assert list(read_code(repository).changes) == ["inner"]
    assert patch(read_code(repository)) == b""


# -- what git does not say


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code = read_code(repository)
    assert (code.commit, code.no_git, code.dirty) == (None, "git is not installed", False)
    assert code.changes == {}


def test_a_folder_that_git_refuses_as_unsafe_is_told_with_the_cure(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own way to test this
    code = read_code(repository)
    assert code.commit is None
    assert "safe.directory" in str(code.no_git)


def test_no_repository_and_no_commit_are_told_apart(tmp_path: Path) -> None:
    assert read_code(tmp_path).no_git == "this is no git repository"
    git(tmp_path, "init", "--quiet")
    assert read_code(tmp_path).no_git == "this git repository has no commit yet"


def test_a_folder_that_the_repository_around_it_ignores_has_no_commit(repository: Path) -> None:
    """As in a home folder that is kept in git with everything else ignored."""
    project = repository / "ignored" / "project"
    project.mkdir(parents=True)
    (project / "step.py").write_text("1")
    code = read_code(project)
    assert "ignores it" in str(code.no_git)


def test_variables_of_a_git_hook_do_not_lead_to_another_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert read_code(repository).commit


def test_settings_that_hide_changes_do_not_hide_them_here(repository: Path) -> None:
    git(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "new.py").write_text("1")
    assert list(read_code(repository).changes) == ["new.py"]


def test_what_python_leaves_behind_is_no_change_wherever_the_project_lies(tmp_path: Path) -> None:
    project = tmp_path / "node_modules" / "project"
    project.mkdir(parents=True)
    (project / "step.py").write_text("1")
    begin_repository(project)
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "step.pyc").write_text("")
    assert read_code(project).changes == {}
    (project / "step.py").write_text("2")
    assert list(read_code(project).changes) == ["step.py"]


def test_credentials_in_the_url_of_the_repository_are_not_told(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:secret@example.org/r.git")
    assert read_code(repository).url == "https://example.org/r.git"
