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
from pathlib import Path

from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.disk import BY_PRODUCTS, stamp
from mlflow_workflow.identity.git import git, remote_url, why_no_git

GONE = "deleted"
HIDDEN = "abcdefghijklmnopqrstuvwxyzS"
"""How `git ls-files -v` begins for a file that git was told not to look at."""


def look_at_code(project: Path, not_code: Iterable[Path] = (), before: Code | None = None) -> Code:
    """The state of the project's code now; what cannot have changed is taken from a look `before`.

    `not_code` are files and folders whose changes do not count: data, which counts by itself, and
    the tracking store if it lies in the project.
    """
    outside = tuple(place.resolve() for place in not_code)
    try:
        top = (before and before.repository) or Path(
            git(project, "rev-parse", "--show-toplevel").strip()
        )
        head, changes = read_status(top)
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
        repository=top,
        url=before.url if before else remote_url(top),
        not_code=outside,
    )


class NoCommit(Exception):
    """git has nothing to say of a project; says why."""


def read_status(top: Path) -> tuple[str, dict[str, str]]:
    """The commit, and each path that differs from it with a stamp that changes when it changes again."""
    options = ("--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    with contextlib.ExitStack() as stack:
        hides = hidden_paths(top)
        variables = stack.enter_context(own_index(top, hides)) if hides else {}
        listing = git(top, "status", *options, "--ignore-submodules=none", extra=variables)
    head, paths = "", []
    for row in listing.split("\0"):
        if row.startswith("# branch.oid "):
            head = row.removeprefix("# branch.oid ")
        elif row[:1] in ("1", "u"):
            paths.append(row.split(" ", 8 if row[0] == "1" else 10)[-1])
        elif row[:1] == "?" and not BY_PRODUCTS & set(row[2:].split("/")):
            paths.append(row[2:].rstrip("/"))
    if head == "(initial)":
        raise NoCommit("this git repository has no commit yet")
    return head, {path: stamp(top / path) or GONE for path in sorted(paths)}


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
    """The files that are there, and whose changes git was told not to show."""
    rows = git(top, "ls-files", "-v", "-z").split("\0")
    return [row[2:] for row in rows if row[:1] in HIDDEN and row and os.path.lexists(top / row[2:])]


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
    with own_index(code.repository, hidden_paths(code.repository)) as variables:
        git(code.repository, "add", "--all", extra=variables)
        return git(code.repository, "write-tree", extra=variables).strip()


def head_tree_of(code: Code) -> str | None:
    """The id of the tree that the commit has."""
    return (
        git(code.repository, "rev-parse", f"{code.commit}^{{tree}}").strip() if code.repository else None
    )
