"""Outputs as the folders that steps read: every byte checked, and again if a file was touched since."""

import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_workflow.basics import files
from mlflow_workflow.outputs import artifacts
from mlflow_workflow.outputs.manifest import Outputs

State = Mapping[str, tuple[int, int, int, int]]
"""File → size, time of change, time of change of its entry on the disk, and number there.

A program can set the first time back, but not the second.
"""


@dataclass(frozen=True)
class Inputs:
    """The parameters of a step that are data: as they are logged, and the folders that it gets."""

    logged: Mapping[str, str]
    folders: Mapping[str, str]


@dataclass(frozen=True)
class Handed:
    """A folder that steps read, and the state in which it was checked."""

    folder: Path
    state: State


@dataclass
class HandOver:
    """What one invocation hands over, by the URI that is logged. `folder` is for downloads.

    Steps get the artifact folder itself if the store is a local disk, and one download if not; so a
    step that writes into what it reads would spoil it for the others.
    """

    folder: Path
    handed: dict[str, Handed] = field(default_factory=dict)
    locks: dict[str, threading.Lock] = field(default_factory=dict)

    def over(self, uri: str, outputs: Outputs) -> Path:
        """The outputs as a local folder, checked once unless it was touched. Raises Damaged."""
        with self.locks.setdefault(uri, threading.Lock()):
            if uri not in self.handed or self.touched([uri]):
                into = Path(tempfile.mkdtemp(prefix="outputs ", dir=self.folder))
                here = artifacts.local_folder(outputs.uri)
                before = state(here) if here else None
                folder = artifacts.hand_over(outputs, into)
                self.handed[uri] = Handed(folder, state(folder) if before is None else before)
            return self.handed[uri].folder

    def keep(self, uri: str, folder: Path) -> None:
        """Hands over a folder that has no manifest of ours."""
        self.handed[uri] = Handed(folder, state(folder))

    def touched(self, uris: Iterable[str]) -> bool:
        """Is any of these folders not as it was when it was checked?"""
        known = [self.handed[uri] for uri in uris]
        return any(state(each.folder) != each.state for each in known)


def state(folder: Path) -> State:
    """The state of every file below a folder; of none if there is no folder. Raises WorkflowError."""
    with artifacts.reaching(str(folder)):
        found = {name: path.stat() for name, path in files.files_in(folder).items()}
    return {n: (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in found.items()}
