"""What git's index says of files that `git status` is silent about.

`git update-index --assume-unchanged` and `--skip-worktree` hide every change of a file. Of a
submodule, status leaves out what that ignores, and of a symlink what it points at.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlflow_workflow.identity.git import git

LINK = "120000"
SUBMODULE = "160000"


@dataclass(frozen=True)
class Entry:
    """A tracked path: git's letter for it, its mode, and the id of its content."""

    letter: str
    mode: str
    sha: str

    @property
    def hidden(self) -> bool:
        """Was git told not to look whether it changed?"""
        return self.letter.islower() or self.letter == "S"


@dataclass(frozen=True)
class Index:
    """The tracked paths of a repository, in git's own listing."""

    listing: str

    @cached_property
    def notable(self) -> Mapping[str, Entry]:
        """Every path that is hidden, a link or a submodule."""
        # Of a hundred thousand files hardly one is: the others are passed over with the least work.
        rows = (row for row in self.listing.split("\0") if row and row[:8] not in ORDINARY)
        found = {}
        for row in rows:
            letter, mode, rest = row.split(" ", 2)
            sha, _, path = rest.partition(" ")
            found[path.partition("\t")[2]] = Entry(letter, mode, sha)
        return found

    def of_mode(self, *modes: str) -> list[str]:
        """The paths of these modes."""
        return [path for path, entry in self.notable.items() if entry.mode in modes]


ORDINARY = ("H 100644", "H 100755")


def read_index(repository: Path) -> Index:
    """The index as it is now."""
    return Index(git(repository, "ls-files", "-s", "-v", "-z"))


def hidden_changes(repository: Path, index: Index) -> list[str]:
    """The paths that git was told not to look at and that are not as in the index.

    A submodule is listed in any case.
    """
    hidden = {path: entry.sha for path, entry in index.notable.items() if entry.hidden}
    here = hidden.keys() - left_out(repository, index)
    now = {**link_ids(repository, here, index), **file_ids(repository, here)}
    return sorted(path for path in here if now.get(path) != hidden[path])


def left_out(repository: Path, index: Index) -> set[str]:
    """The paths that a sparse checkout leaves out: they are not there, and no change."""
    sparse = (path for path, entry in index.notable.items() if entry.letter in "Ss")
    return {path for path in sparse if not os.path.lexists(repository / path)}


def file_ids(repository: Path, paths: Iterable[str]) -> dict[str, str]:
    """The ids that git would give to files as they are; links and folders are left out."""
    files = [p for p in paths if (repository / p).is_file() and not (repository / p).is_symlink()]
    if not files:
        return {}
    given = "".join(f"{quoted(path)}\n" for path in files)
    ids = git(repository, "hash-object", "--stdin-paths", given=given).split()
    return dict(zip(files, ids, strict=True))


def link_ids(repository: Path, paths: Iterable[str], index: Index) -> dict[str, str]:
    """The ids that git would give to links that are still links: `git hash-object` follows them."""
    links = {path: repository / path for path in paths if index.notable[path].mode == LINK}
    return {
        path: blob_id(os.fsencode(link.readlink()), like=index.notable[path].sha)
        for path, link in links.items()
        if link.is_symlink()
    }


def blob_id(content: bytes, like: str) -> str:
    """The id in git of a content, by the algorithm that another id is of."""
    algorithm = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def quoted(path: str) -> str:
    """A path in one line, as git reads it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
