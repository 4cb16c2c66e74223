"""A small project, and its steps run as real processes that are recorded."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_workflow.identity.notes import raw_folder, recording
from mlflow_workflow.identity.reading import Reading, read
from mlflow_workflow.identity.record import Record
from mlflow_workflow.project.graph import Step
from mlflow_workflow.project.mlproject import read_step, read_workflow
from tests.conftest import begin_repository, git

MLPROJECT = """
entry_points:
  main: {command: "true"}
  step: {command: "python -m steps.step"}
"""


@dataclass
class Seen:
    """A project with one step, whose code a test writes."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def write(self, **files: str) -> "Seen":
        """Writes files; `__` in a name is a slash, and the last `_` a dot."""
        for name, text in files.items():
            self.put(".".join(name.replace("__", "/").rsplit("_", 1)), text)
        return self

    def put(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def read(self, *store: Path) -> Reading:
        workflow = read_workflow((self.folder / "MLproject").read_text())
        return read(self.folder, workflow, frozenset(), store, {})

    @property
    def step(self) -> Step:
        return self.read().workflow.steps["step"]

    def run(
        self,
        *words: str,
        left_out: Sequence[Path] = (),
        step: Step | None = None,
        store: Sequence[Path] = (),
    ) -> tuple[Record, list[str]]:
        """Runs the step, or these words, to the end; what was seen, and what changed meanwhile."""
        self.runs += 1
        raw, before = self.folder.parent / "raw", self.read(*store)
        variables = {**os.environ, **self.variables, **recording(before.top, raw, str(self.runs))}
        command = words or (sys.executable, "-m", "steps.step")
        subprocess.run(command, cwd=self.folder, env=variables, check=True)
        now = before.again()
        return now.record(raw_folder(raw, str(self.runs)), step or self.step, left_out)

    def seen(self, code: str, **more: str) -> Record:
        """The record of a step with this code, which nothing disturbed."""
        self.write(steps__step_py=code, **more)
        record, changed = self.run()
        assert changed == [] and self.broken(record) is None
        return record

    def broken(self, record: Record) -> str | None:
        return self.read().broken(record)


def step_of(command: str, **more: object) -> Step:
    return read_step("step", {"command": command, **more}, {"step"})


def new_seen(folder: Path, files: Mapping[str, str] | None = None) -> Seen:
    """The project, in a repository of its own."""
    made = Seen(folder)
    made.put("MLproject", MLPROJECT)
    made.put("steps/step.py", "")
    for name, text in (files or {}).items():
        made.put(name, text)
    begin_repository(folder)
    return made


def commit(made: Seen) -> None:
    git(made.folder, "add", "--all")
    git(made.folder, "commit", "--quiet", "--allow-empty", "--message", "change")


def edit(folder: Path, name: str, more: str = "\n# edited\n") -> None:
    """Appends to a file, which may be new."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.write(more)
