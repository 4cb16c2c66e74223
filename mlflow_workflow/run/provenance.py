"""Where the code of an execution comes from: tags of its run, and the uncommitted changes as a file."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Run

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.patch import PATCH, patch
from mlflow_workflow.run import parent


@dataclass
class Provenance:
    """What the child runs of a parent say of their code. `folder` is for patches."""

    run: Run
    project: Path
    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tags(self, code: Code) -> Mapping[str, str]:
        """Whose child it is, and commit, repository and source."""
        return parent.child_tags(self.run, code, self.project)

    def patch(self, code: Code) -> Path | None:
        """The uncommitted changes as a file, made anew only when they are others than before."""
        if not code.dirty:
            return None
        file = self.folder / digest(code.ingredients) / PATCH
        with self.lock:
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                half = file.with_name("half")
                half.write_bytes(patch(code))
                half.rename(file)
        return file
