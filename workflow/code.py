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

from workflow.credentials import without_credentials
from workflow.data import digest_file
from workflow.fingerprint import digest
from workflow.manifest import files_in

IGNORED_FOLDERS = {"__pycache__", "node_modules"}
GONE = "deleted"


@dataclass(frozen=True)
class Code:
    """The state of a project's code.

    `changes` maps every file that differs from the commit (path in the repository, or in the
    project without git) to a digest; `ignored` are the files and folders (in the project) that git was
    told not to look at; `path` is the project's folder in the repository.
    """

    project: Path
    commit: str | None
    path: str
    changes: dict[str, str]
    ignored: tuple[str, ...] = ()
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

    def overlooks(self, name: str) -> bool:
        """Is a file of the project one whose changes git was told not to see?"""
        return any(name == i or name.startswith(f"{i}/") for i in self.ignored)


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
        return without_git(project, outside, why_no_git(error))
    repository = Path(top)
    path = project.resolve().relative_to(repository.resolve()).as_posix()
    status = git_status(repository)
    if is_ignored(path, status):
        return without_git(project, outside, "the git repository around this folder ignores it")
    return Code(
        project=project,
        commit=head,
        path=path,
        changes=uncommitted(repository, status, outside),
        ignored=ignored_in(path, status),
        repository=repository,
        url=remote_url(repository),
        not_code=outside,
    )


def without_git(project: Path, outside: tuple[Path, ...], why: str) -> Code:
    """The code where git has nothing to say: what the project's files hold."""
    files = project_files(project, outside)
    return Code(project, None, path="", changes=files, no_git=why, not_code=outside)


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


Status = Sequence[tuple[str, str]]
"""git's two letters for what happened to a path, and the path in the repository."""


def git_status(repository: Path) -> Status:
    """Every changed, added, deleted, untracked ('??') or ignored ('!!') path.

    What the user's settings and .gitmodules would hide is shown too.
    """
    options = ("--untracked-files=all", "--ignored=matching", "--ignore-submodules=none")
    listing = git(repository, "status", "--porcelain=v1", "-z", "--no-renames", *options)
    return [(entry[:2], entry[3:].rstrip("/")) for entry in listing.split("\0") if entry]


def is_ignored(path: str, status: Status) -> bool:
    """Is a folder of the repository itself ignored, as everything in a home folder under git may be?"""
    return any(s == "!!" and path != "." and f"{path}/".startswith(f"{p}/") for s, p in status)


def ignored_in(path: str, status: Status) -> tuple[str, ...]:
    """The ignored paths, relative to the project."""
    inside = "" if path == "." else f"{path}/"
    found = [p.removeprefix(inside) for s, p in status if s == "!!" and p.startswith(inside)]
    return tuple(sorted(found))


def uncommitted(repository: Path, status: Status, outside: Sequence[Path]) -> dict[str, str]:
    """Every changed, added, deleted or untracked (not ignored) file → digest of what it is now."""
    paths = [p for s, p in status if s != "!!" and not (s == "??" and is_by_product(p))]
    return {p: state(repository / p) for p in sorted(paths) if counts(repository / p, outside)}


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


def state(path: Path) -> str:
    """A digest of what a path is now: content and executable bit, link target, or that it is gone."""
    if path.is_symlink():
        return digest(["link", str(path.readlink())])
    if path.is_dir():
        # A submodule, or a repository in the repository: git's own files in it change when looked at.
        inside = {n: f for n, f in files_in(path).items() if ".git" not in n.split("/")}
        return digest({name: digest_file(file) for name, file in inside.items()})
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


def patch(code: Code) -> bytes:
    """The uncommitted changes as a patch for `git apply`, untracked files included.

    It is made with an index of its own, so that the user's stays as it is. A repository in the
    repository is left out: no patch can hold it.
    """
    if code.repository is None or not code.changes:
        return b""
    top = code.repository
    with tempfile.TemporaryDirectory() as folder:
        own_index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        there = [p for p in code.changes if (top / p).is_symlink() or (top / p).is_file()]
        listed = Path(folder, "paths")
        listed.write_bytes(b"\0".join(os.fsencode(f":(top,literal){path}") for path in there))
        git(top, "read-tree", "HEAD", extra=own_index)
        if there:
            names = (f"--pathspec-from-file={listed}", "--pathspec-file-nul")
            git(top, "add", "--intent-to-add", *names, extra=own_index)
        text = git(top, "diff", *PATCH_OPTIONS, "HEAD", "--", *but(top, code.not_code), extra=own_index)
    return text.encode(errors="surrogateescape")


# The user's git settings must not make a patch that `git apply` refuses.
PATCH_OPTIONS = (
    *("--binary", "--full-index", "--no-renames", "--unified=3", "--inter-hunk-context=0"),
    *("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)


def but(repository: Path, places: Iterable[Path]) -> list[str]:
    """Everything in a repository but these places, in git's words."""
    top = repository.resolve()
    inside = [path.relative_to(top).as_posix() for path in places if top in path.parents]
    return [":(top)", *(f":(top,exclude,literal){path}" for path in inside)]
