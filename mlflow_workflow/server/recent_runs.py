"""The newest runs of each step, asked for once in an invocation."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.store import Store

USUAL = 5
"""How many of them say how long a step takes."""


@dataclass
class Lately:
    """What one invocation knows of the newest runs of its steps.

    No index leads to them: the server reads every published run to find them, so they are kept.
    """

    store: Store
    known: dict[str, list[Earlier]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def runs(self, step: str) -> Sequence[Earlier]:
        """The newest published runs of a step, newest first."""
        with self.lock:  # who comes second would ask the same
            if step not in self.known:
                self.known[step] = self.store.find_lately(step)
            return self.known[step]

    def add(self, step: str, run_id: str) -> None:
        """A run that this invocation made: counts from now on, if it was published."""
        with self.lock:
            if step in self.known and (made := self.store.published(run_id)):
                others = [earlier for earlier in self.known[step] if earlier.run_id != run_id]
                self.known[step] = [made, *others]

    def usual_seconds(self, step: str) -> float:
        """How long a step took lately: the median; 0 if it never ran."""
        seconds = [earlier.seconds for earlier in self.runs(step)[:USUAL]]
        return median(seconds) if seconds else 0.0
