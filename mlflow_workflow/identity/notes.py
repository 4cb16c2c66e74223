"""What the recorder noted of a step's processes, read back."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_workflow.basics.errors import WorkflowError

RECORDER = Path(__file__).parent / "recorder"
NOT_THERE = "-"


@dataclass(frozen=True)
class Note:
    """One thing that a process did, as `recorder/workflow_notes.py` has it."""

    kind: str
    time: int
    state: str
    path: str


@dataclass(frozen=True)
class Notes:
    """All that a step's processes did, in order; each thing with the state in which it was met first."""

    by_kind: Mapping[str, Mapping[str, Note]]

    def of(self, kind: str) -> Mapping[str, Note]:
        """Path → note, of one kind."""
        return self.by_kind.get(kind, {})

    def made_before(self, note: Note) -> bool:
        """Did the step itself make this, or a folder that it is in, before it met it?

        A folder that is still there outlives the run: others may put something into it.
        """
        made = self.of("w")
        gone = (path for path in above(note.path) if path in made and not Path(path).exists())
        own = (made[path] for path in (note.path, *gone) if path in made)
        return any(each.time < note.time for each in own)


def recording(top: Path, folder: Path, run_id: str) -> dict[str, str]:
    """The variables with which a step's Python processes note what they read of the folder `top`.

    `folder` is where the notes go, and is there as long as the step runs.
    """
    place = raw_folder(folder, run_id)
    place.mkdir(parents=True, exist_ok=True)
    others = os.environ.get("PYTHONPATH")
    path = f"{RECORDER}{os.pathsep}{others}" if others else str(RECORDER)
    return {"WORKFLOW_RECORD": str(place), "WORKFLOW_TOP": str(top), "PYTHONPATH": path}


def raw_folder(folder: Path, run_id: str) -> Path:
    """Where the notes of a run are, below the folder that `recording` was given."""
    return folder / f"{run_id}.notes"


def read_notes(raw: Path) -> Notes:
    """The notes of all processes. Raises WorkflowError for what no recorder wrote."""
    lines = [line for file in sorted(raw.glob("*")) for line in file.read_bytes().split(b"\0") if line]
    return in_order(note(os.fsdecode(line)) for line in lines)


def note(line: str) -> Note:
    """One note."""
    try:
        kind, time, state, path = line.split("\t", 3)
        return Note(kind, int(time), state, path)
    except ValueError:
        raise WorkflowError(f"the notes of what a step read hold {line!r}, which is no note") from None


def in_order(notes: Iterable[Note]) -> Notes:
    """The first note of everything, by kind and path."""
    found: dict[str, dict[str, Note]] = {}
    for each in sorted(notes, key=lambda each: each.time):
        found.setdefault(each.kind, {}).setdefault(each.path, each)
    return Notes(found)


def above(path: str) -> Iterable[str]:
    """The folders that a path is in."""
    return (str(folder) for folder in Path(path).parents)
