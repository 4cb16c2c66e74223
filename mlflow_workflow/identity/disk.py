"""What is on the disk now: each file is looked at once, and read again only if it changed since."""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.identity.data import SETTLED, digest_data, digest_file

ABSENT, THERE = "absent", "there"
"""What stands for a digest where no content counts."""
BY_PRODUCTS = frozenset({"__pycache__", ".git", "node_modules"})
"""Folders that tools fill by themselves."""


@dataclass
class Disk:
    """One look at the files of a project.

    `left_out` are files and folders that others write to while a workflow runs, such as the tracking
    store. `known` holds, for all looks of an invocation, the stamp of each file and its digest.
    """

    project: Path
    left_out: tuple[Path, ...] = ()
    known: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    data: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    modules: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def again(self) -> "Disk":
        """A new look, which need not read again what bears the same stamp."""
        return Disk(self.project, self.left_out, self.known)

    def file(self, name: str) -> str:
        """The sha256 of a file's content; ABSENT where none is. `name` is a path from the project.

        Raises:
            WorkflowError: it cannot be read.
        """
        if name not in self.files:
            self.files[name] = self.read(name)
        return self.files[name]

    def read(self, name: str) -> str:
        """The digest of a file, from before if it is as it was and had rested then."""
        path = self.project / name
        seen = stamp(path)
        if seen is None or not path.is_file():
            return ABSENT
        before = self.known.get(name)
        if before and before[0] == seen:
            return before[1]
        found = digest_file(path)
        if stamp(path) == seen and time.time_ns() - path.stat().st_ctime_ns > SETTLED * 1e9:
            self.known[name] = (seen, found)
        return found

    def state(self, name: str) -> list[object]:
        """What a path is: the content of a file and whether it can be run, and where a link leads."""
        path = self.project / name
        link = str(path.readlink()) if path.is_symlink() else None
        return [link, self.file(name), path.is_file() and os.access(path, os.X_OK)]

    def is_left_out(self, name: str) -> bool:
        """Is it what others write to?"""
        return lies_in(str(self.project / name), self.left_out)

    def is_there(self, name: str) -> bool:
        """Is there a file or folder of this name?"""
        return (self.project / name).exists()

    def is_file(self, name: str) -> bool:
        """Is there a file of this name?"""
        return self.files.get(name, ABSENT) != ABSENT or (self.project / name).is_file()

    def modules_in(self, folder: str) -> frozenset[str]:
        """The names in a folder that modules and packages may have."""
        if folder not in self.modules:
            try:
                names = os.listdir(self.project / folder)  # noqa: PTH208
            except OSError:
                names = []
            self.modules[folder] = frozenset(filter(str.isidentifier, map(module_name, names)))
        return self.modules[folder]

    def data_at(self, path: Path) -> dict[str, str]:
        """The digests of a file or folder that a parameter names."""
        if str(path) not in self.data:
            self.data[str(path)] = digest_data(path)
        return self.data[str(path)]

    def listing(self, name: str, made: Iterable[str] = ()) -> str:
        """A digest of the names in a folder, but those that the step `made` and of what others write."""
        folder = self.project / name
        try:
            names = set(os.listdir(folder)) - BY_PRODUCTS  # noqa: PTH208
        except OSError:
            return ABSENT
        own = {os.path.normpath(self.project / each) for each in made}
        kept = [
            n
            for n in names
            if f"{folder}/{n}" not in own and not lies_in(f"{folder}/{n}", self.left_out)
        ]
        return digest(sorted(kept))


def lies_in(path: str, places: Iterable[Path]) -> bool:
    """Is a path one of these or in one of these? With a database go its journals, under longer names."""
    both = {os.path.normpath(path), os.path.realpath(path)}
    return any(
        Path(JOURNAL.sub("", each)).is_relative_to(place)
        for each in both
        for left in places
        for place in {left, left.resolve()}
    )


JOURNAL = re.compile("-(?:journal|wal|shm)$")


def module_name(file: str) -> str:
    """The name under which a file or folder could be imported."""
    return file.partition(".")[0] if file.endswith((".py", ".pyc", ".so", ".pyd")) else file


def stamp(path: Path) -> str | None:
    """What changes whenever a file does, as the recorder notes it; None where nothing is."""
    try:
        now = path.stat()
    except OSError:
        return None
    return f"{now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}"
