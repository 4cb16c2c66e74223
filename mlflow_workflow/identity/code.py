"""What code the steps are made of: the commit and every change that is not committed.

git is asked through its own command; where it cannot answer (no git, no repository, no commit, or a
folder it refuses as unsafe) the code is what the project's files hold.
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.basics.files import files_in
from mlflow_workflow.identity.data import digest_file
from mlflow_workflow.identity.fingerprint import CHANGE
from mlflow_workflow.identity.git import Status, git, git_status, remote_url, why_no_git
from mlflow_workflow.identity.index import LINK, SUBMODULE, Entry, Index, hidden_changes, read_index

IGNORED_FOLDERS = {"__pycache__", "node_modules"}
GONE = "deleted"


@dataclass(frozen=True)
class Code:
    """The state of a project's code.

    `changes` maps every file that differs from the commit (path in the repository, or in the
    project without git) to a digest; `overlooked` are the files and folders (in the project) in which
    git does not see every change; `path` is the project's folder in the repository.
    """

    project: Path
    commit: str | None
    path: str
    changes: dict[str, str]
    overlooked: tuple[str, ...] = ()
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
        """The code of an identity in match=commit mode."""
        if self.commit is None:
            return self.changes
        changed = {f"{CHANGE}{path}": value for path, value in self.changes.items()}
        return {"commit": self.commit, "path": self.path, **changed}

    def overlooks(self, name: str) -> bool:
        """Is a file of the project one whose changes `changes` may not have?"""
        return self.commit is None or any(f"{name}/".startswith(f"{i}/") for i in self.overlooked)


def read_code(project: Path, not_code: Iterable[Path] = ()) -> Code:
    """The state of the project's code now.

    `not_code` are files and folders whose changes do not count: data, which counts by itself, and
    the tracking store if it lies in the project.
    """
    outside = tuple(path.resolve() for path in not_code)
    try:
        top, head = git(project, "rev-parse", "--show-toplevel", "HEAD").splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        return without_git(project, outside, why_no_git(error))
    repository = Path(top)
    path = project.resolve().relative_to(repository.resolve()).as_posix()
    with ThreadPoolExecutor(2) as at_once:
        reading, url = at_once.submit(read_index, repository), at_once.submit(remote_url, repository)
        status, index = git_status(repository), reading.result()
    if is_ignored(path, status):
        return without_git(project, outside, "the git repository around this folder ignores it")
    return Code(
        project=project,
        commit=head,
        path=path,
        changes=uncommitted(repository, status, index, outside),
        overlooked=overlooked_in(path, [*not_looked_into(repository, status, index)]),
        repository=repository,
        url=url.result(),
        not_code=outside,
    )


def without_git(project: Path, outside: tuple[Path, ...], why: str) -> Code:
    """The code where git has nothing to say: what the project's files hold."""
    files = project_files(project, outside)
    return Code(project, None, path="", changes=files, no_git=why, not_code=outside)


def is_ignored(path: str, status: Status) -> bool:
    """Is a folder of the repository itself ignored, as everything in a home folder under git may be?"""
    return any(s == "!!" and path != "." and f"{path}/".startswith(f"{p}/") for s, p in status)


def not_looked_into(repository: Path, status: Status, index: Index) -> Iterator[str]:
    """The paths in or behind which a file may change and git says nothing of it.

    What is ignored; links, which may lead out of the repository; and repositories in the
    repository, which ignore files of their own.
    """
    yield from index.of_mode(LINK, SUBMODULE)
    for letters, path in status:
        if letters == "!!" or (repository / path).is_symlink() or (repository / path).is_dir():
            yield path


def overlooked_in(path: str, places: Iterable[str]) -> tuple[str, ...]:
    """Those of a repository's paths that lie in the project at `path`, relative to it."""
    inside = "" if path == "." else f"{path}/"
    return tuple(sorted({p.removeprefix(inside) for p in places if p.startswith(inside)}))


def uncommitted(
    repository: Path, status: Status, index: Index, outside: Sequence[Path]
) -> dict[str, str]:
    """Every changed, added, deleted or untracked (not ignored) file → digest of what it is now."""
    told = {p: s for s, p in status if s != "!!" and not (s == "??" and is_by_product(p))}
    paths = {**dict.fromkeys(hidden_changes(repository, index), " M"), **told}
    return {
        path: state(repository / path, outside)
        for path, letters in sorted(paths.items())
        if counts(repository / path, outside)
        and not (letters == " M" and is_as_recorded(repository / path, index.notable.get(path), outside))
    }


def is_as_recorded(path: Path, entry: Entry | None, outside: Sequence[Path]) -> bool:
    """Is a submodule at the commit that the index has of it, with nothing changed in it that counts?"""
    return entry is not None and entry.mode == SUBMODULE and inner(path, outside) == (entry.sha, {})


def inner(folder: Path, outside: Sequence[Path]) -> tuple[str, Mapping[str, str]] | None:
    """The commit of a repository in the repository and its changes; None if it has no commit."""
    try:
        if not (folder / ".git").exists():
            return None
        head = git(folder, "rev-parse", "HEAD").strip()
        return head, uncommitted(folder, git_status(folder), read_index(folder), outside)
    except (OSError, subprocess.CalledProcessError):
        return None


def is_by_product(name: str) -> bool:
    """Is a path in a folder that tools fill by themselves?"""
    return bool(IGNORED_FOLDERS & set(name.split("/")))


def project_files(project: Path, outside: Sequence[Path]) -> dict[str, str]:
    """Every file of a project without git, but hidden folders and virtual environments."""
    environments = {config.parent for config in project.glob("*/pyvenv.cfg")}
    found = {}
    for folder, folders, files in os.walk(project):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(folder, name) not in environments
        ]
        for path in (Path(folder, name) for name in files):
            name = path.relative_to(project).as_posix()
            if counts(path, outside) and not is_by_product(name):
                found[name] = state(path)
    return dict(sorted(found.items()))


def counts(path: Path, outside: Iterable[Path]) -> bool:
    """Is a changed file part of the code?"""
    here = path.parent.resolve() / path.name
    return not any(here == place or place in here.parents for place in outside)


def state(path: Path, outside: Sequence[Path] = ()) -> str:
    """A digest of what a path is now: content and executable bit, link target, or that it is gone."""
    if path.is_symlink():
        return digest(["link", str(path.readlink())])
    if path.is_dir():
        return digest(inner(path, outside) or files_of(path))
    if not path.is_file():
        return GONE
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    return digest([digest_file(path), executable])


def files_of(folder: Path) -> dict[str, str]:
    """The digests of a folder's files, but those that git and other tools change by themselves."""
    inside = {n: f for n, f in files_in(folder).items() if ".git" not in n.split("/")}
    return {name: digest_file(file) for name, file in inside.items() if not is_by_product(name)}
