"""What git says of a project: the commit, what differs from it, and the tree that all of it would be.

Where git cannot answer (no git, no repository, no commit, or a folder it refuses as unsafe) there is
no commit, and no change of it.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_workflow.identity.disk import BY_PRODUCTS, stamp
from mlflow_workflow.identity.git import git, remote_url, why_no_git

GONE = "deleted"
SPARSE = "sS"
"""How `git ls-files -v` begins for a file that a sparse checkout may have left out."""


@dataclass(frozen=True)
class Code:
    """The state of a project's code.

    `changes` maps every path in the repository that differs from the commit to a stamp, which changes
    when it changes again; `path` is the project's folder in the repository. `hidden` are files that git
    was told not to look at, `not_code` what counts as no change. `no_git` says why there is no commit.
    """

    project: Path
    commit: str | None
    path: str
    changes: dict[str, str]
    hidden: tuple[str, ...] = ()
    repository: Path | None = None
    url: str | None = None
    no_git: str | None = None
    not_code: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def dirty(self) -> bool:
        """Is there anything that the commit does not hold?"""
        return bool(self.commit and self.changes)

    @property
    def ingredients(self) -> dict[str, str]:
        """What is another whenever the code is."""
        return {"commit": str(self.commit), **self.changes}


def read_code(project: Path, not_code: Iterable[Path] = (), before: Code | None = None) -> Code:
    """The state of the project's code now; what cannot have changed is taken from a look `before`.

    `not_code` are files and folders whose changes do not count: data, which counts by itself, and
    the tracking store if it lies in the project.
    """
    outside = tuple(place.resolve() for place in not_code)
    try:
        top = (before and before.repository) or Path(
            git(project, "rev-parse", "--show-toplevel").strip()
        )
        hidden = before.hidden if before else hidden_paths(top)
        head, changes = read_status(top, hidden)
        if not before and is_ignored(project):
            raise NoCommit("the git repository around this folder ignores it")
    except NoCommit as error:
        return Code(project, None, "", {}, no_git=str(error), not_code=outside)
    except (OSError, subprocess.CalledProcessError) as error:
        return Code(project, None, "", {}, no_git=why_no_git(error), not_code=outside)
    return Code(
        project=project,
        commit=head,
        path=project.resolve().relative_to(top.resolve()).as_posix(),
        changes={path: what for path, what in changes.items() if counts(top / path, outside)},
        hidden=tuple(hidden),
        repository=top,
        url=before.url if before else remote_url(top),
        not_code=outside,
    )


class NoCommit(Exception):
    """git has nothing to say of a project; says why."""


def read_status(top: Path, hidden: Sequence[str] = ()) -> tuple[str, dict[str, str]]:
    """The commit, and each path that differs from it with a stamp that changes when it changes again."""
    options = ("--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    with contextlib.ExitStack() as stack:
        variables = stack.enter_context(own_index(top, hidden)) if hidden else {}
        listing = git(top, "status", *options, "--ignore-submodules=none", extra=variables)
    head, *rows = [row for row in listing.split("\0") if not row.startswith("# ") or "branch.oid" in row]
    if head.endswith("(initial)"):
        raise NoCommit("this git repository has no commit yet")
    paths = sorted(path for row in rows if (path := changed_path(top, row)))
    return head.rpartition(" ")[2], {path: stamp(top / path) or GONE for path in paths}


def changed_path(top: Path, row: str) -> str | None:
    """The path in a row of git's status; None for what tools leave behind."""
    if row[:1] in ("1", "u"):
        path = row.split(" ", 8 if row[0] == "1" else 10)[-1]
        only_untracked = row.split(" ", 3)[2] == "S..U"
        return None if only_untracked and not read_status(top / path)[1] else path
    left_behind = BY_PRODUCTS & set(row[2:].split("/"))
    return row[2:].rstrip("/") if row[:1] == "?" and not left_behind else None


def is_ignored(project: Path) -> bool:
    """Does the repository ignore the project itself, as everything in a home folder under git may be?"""
    try:
        return bool(git(project, "check-ignore", str(project.resolve())))
    except subprocess.CalledProcessError:
        return False


def counts(path: Path, outside: Iterable[Path]) -> bool:
    """Is a changed file part of the code?"""
    here = path.parent.resolve() / path.name
    return not any(here == place or place in here.parents for place in outside)


# -- with an index of our own, so that the user's stays as it is


def hidden_paths(top: Path) -> list[str]:
    """The files whose changes git was told not to show, but what a sparse checkout left out."""
    rows = git(top, "ls-files", "-v", "-z").split("\0")
    hidden = [row for row in rows if row[:1].islower() or row[:1] == "S"]
    return [row[2:] for row in hidden if row[0] not in SPARSE or os.path.lexists(top / row[2:])]


@contextlib.contextmanager
def own_index(top: Path, hidden: Sequence[str]) -> Iterator[dict[str, str]]:
    """The variables for git to use a copy of the index in which nothing that is there is hidden.

    What git makes with them goes where it is forgotten, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        index, objects = Path(folder, "index"), Path(folder, "objects")
        objects.mkdir()
        where = git(
            top, "rev-parse", "--path-format=absolute", "--git-path", "index", "--git-path", "objects"
        )
        theirs, store = where.splitlines()
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(theirs, index)
        variables = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": store,
        }
        show(top, hidden, variables)
        yield variables


def show(top: Path, paths: Sequence[str], variables: dict[str, str]) -> None:
    """Makes git look at files again."""
    if paths:
        given = "".join(f"{path}\0" for path in paths)
        for option in ("--no-assume-unchanged", "--no-skip-worktree"):
            git(top, "update-index", option, "-z", "--stdin", extra=variables, given=given)


def tree_of(code: Code) -> str | None:
    """The id of the tree that a commit of exactly what is in the working folder would have."""
    if code.repository is None:
        return None
    with own_index(code.repository, code.hidden) as variables:
        git(code.repository, "add", "--all", extra=variables)
        return git(code.repository, "write-tree", extra=variables).strip()


def head_tree_of(code: Code) -> str | None:
    """The id of the tree that the commit has."""
    return (
        git(code.repository, "rev-parse", f"{code.commit}^{{tree}}").strip() if code.repository else None
    )
