"""What code the steps are made of: the commit and every change that is not committed.

git is asked through its own command; where it cannot answer (no git, no repository, no commit, or a
folder it refuses as unsafe) the code is what the project's files hold.
"""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from workflow.data import digest_file
from workflow.fingerprint import digest
from workflow.manifest import files_in

IGNORED_FOLDERS = {"__pycache__", "node_modules"}
GONE = "deleted"


@dataclass(frozen=True)
class Code:
    """The state of a project's code.

    `changes` maps every file that differs from the commit (path in the repository, or in the
    project without git) to a digest; `path` is the project's folder in the repository.
    """

    project: Path
    commit: str | None
    path: str
    changes: dict[str, str]
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
        changed = {f"change {path}": value for path, value in self.changes.items()}
        return {"commit": self.commit, "path": self.path, **changed}


def git(folder: Path, *arguments: str, extra: dict[str, str] | None = None) -> str:
    """What git prints. Raises OSError without git, CalledProcessError if it refuses."""
    # A hook or a worktree's shell may export GIT_DIR and the like: the folder alone shall decide.
    environment = {k: v for k, v in os.environ.items() if k not in LOCATION_VARIABLES}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(extra or {})}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return done.stdout.decode(errors="surrogateescape")


LOCATION_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}


def read_code(project: Path, not_code: Iterable[Path] = ()) -> Code:
    """The state of the project's code now.

    `not_code` are files and folders whose changes do not count: data, which counts by itself, and
    the tracking store if it lies in the project.
    """
    outside = tuple(path.resolve() for path in not_code)
    try:
        top, head = git(project, "rev-parse", "--show-toplevel", "HEAD").splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        return Code(
            project=project,
            commit=None,
            path="",
            changes=project_files(project, outside),
            no_git=why_no_git(error),
            not_code=outside,
        )
    repository = Path(top)
    return Code(
        project=project,
        commit=head,
        path=project.resolve().relative_to(repository.resolve()).as_posix(),
        changes=uncommitted(repository, outside),
        repository=repository,
        url=remote_url(repository),
        not_code=outside,
    )


def why_no_git(error: OSError | subprocess.CalledProcessError) -> str:
    """One clause on why git did not answer, with the cure where there is one."""
    if isinstance(error, OSError):
        return "git is not installed"
    said = (error.stderr or b"").decode(errors="replace")
    if "dubious ownership" in said:
        return "git refuses this folder as unsafe (git config --global --add safe.directory <folder>)"
    if "not a git repository" in said:
        return "this is no git repository"
    if "unknown revision" in said or "ambiguous argument" in said:
        return "this git repository has no commit yet"
    return "git failed: " + (said.strip().splitlines() or ["no message"])[-1]


def uncommitted(repository: Path, outside: Sequence[Path]) -> dict[str, str]:
    """Every changed, added, deleted or untracked (not ignored) file → digest of what it is now."""
    listing = git(repository, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    paths = (entry[3:].rstrip("/") for entry in listing.split("\0") if entry)
    return {p: state(repository / p) for p in sorted(paths) if counts(repository / p, outside)}


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
            if counts(path, outside):
                found[path.relative_to(project).as_posix()] = state(path)
    return dict(sorted(found.items()))


def counts(path: Path, outside: Iterable[Path]) -> bool:
    """Is a changed file part of the code?"""
    if IGNORED_FOLDERS & set(path.parts):
        return False
    here = path.parent.resolve() / path.name
    return not any(here == place or place in here.parents for place in outside)


def state(path: Path) -> str:
    """A digest of what a path is now: content and executable bit, link target, or that it is gone."""
    if path.is_symlink():
        return digest(["link", str(path.readlink())])
    if path.is_dir():
        return digest({name: digest_file(file) for name, file in files_in(path).items()})
    if not path.is_file():
        return GONE
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    return digest([digest_file(path), executable])


def remote_url(repository: Path) -> str | None:
    """The URL of `origin` without credentials, if there is one."""
    try:
        return without_credentials(git(repository, "remote", "get-url", "origin").strip())
    except subprocess.CalledProcessError:
        return None


def without_credentials(url: str) -> str:
    """The URL without user and password, which may be secret; an ssh URL's user is part of it."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("http") or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def patch(code: Code) -> bytes:
    """The uncommitted changes as a patch for `git apply`, untracked files included.

    It is made with a copy of git's index, so that the user's own stays as it is.
    """
    if code.repository is None or not code.changes:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        index.write_bytes((code.repository / git_path(code.repository, "index")).read_bytes())
        own_index = {"GIT_INDEX_FILE": str(index)}
        paths = [f":(top,literal){path}" for path in code.changes]
        git(code.repository, "add", "--intent-to-add", "--", *paths, extra=own_index)
        text = git(code.repository, "diff", "--binary", "HEAD", "--", *paths, extra=own_index)
    return text.encode(errors="surrogateescape")


def git_path(repository: Path, name: str) -> str:
    """Where git keeps a file of its own (elsewhere in a worktree)."""
    return git(repository, "rev-parse", "--git-path", name).strip()
