"""What one invocation works with, outside of the state of its nodes."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.identity.reading import Reading
from mlflow_workflow.identity.record import Record
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.handover import HandOver, Inputs
from mlflow_workflow.server import lookup
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import TREE_OF, UNUSABLE


@dataclass
class World:
    """The server, the outputs, and what was read of code, environment and data.

    `reading` is the newest one. `rejected` maps runs to what is wrong with their outputs; `recent` keeps
    the newest runs of each step, `records` what runs were seen to use. If `dry`, no run is written to.
    """

    store: Store
    mode: str
    folder: Path
    handover: HandOver
    reading: Reading
    dry: bool
    rejected: dict[str, str] = field(default_factory=dict)
    recent: dict[str, list[Earlier]] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    trees: dict[str, str | None] = field(default_factory=dict)
    known_trees: dict[str, bool] = field(default_factory=dict)
    near_runs: dict[str, list[Earlier]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_again(self) -> Reading:
        """Code, environment and data as they are now."""
        self.reading = self.reading.again()
        return self.reading

    def tree(self, reading: Reading) -> str | None:
        """The git tree that a commit of all that is in the working folder would have."""
        changes = digest(reading.code.ingredients)
        if changes not in self.trees:
            self.trees[changes] = reading.tree
        return self.trees[changes]

    def tree_tag(self) -> str:
        """What runs bear that were made, or reused, of these very files before a commit of them."""
        return f"{TREE_OF}.{self.tree(self.reading)}"

    def is_tree_known(self) -> bool:
        """Is there any such run? Asked once: of most commits there is none."""
        tag = self.tree_tag()
        with self.lock:
            if tag not in self.known_trees:
                self.known_trees[tag] = lookup.is_any(self.store, tag)
            return self.known_trees[tag]

    def near(self, step: str, key: str) -> list[Earlier]:
        """The runs before this invocation that differ in one kind of ingredient, asked for once."""
        with self.lock:
            if key not in self.near_runs:
                self.near_runs[key] = lookup.find_near(self.store, step, key)
            return self.near_runs[key]

    def recent_runs(self, step: str) -> list[Earlier]:
        """The newest runs of a step before this invocation, asked for once."""
        with self.lock:  # who comes second would ask the same
            if step not in self.recent:
                self.recent[step] = lookup.find_recent(self.store, step)
            return self.recent[step]

    def usual_seconds(self, step: str) -> float:
        """How long a step took lately: the median; 0 if it never ran."""
        seconds = [earlier.seconds for earlier in self.recent_runs(step)]
        return median(seconds) if seconds else 0.0

    def touched(self, inputs: Inputs) -> bool:
        """Are outputs that are read not as they were when they were checked?"""
        return self.handover.touched(inputs.logged.values())

    def reject(self, run_id: str, damage: Damaged) -> None:
        """Never looks at the outputs of a damaged run again."""
        self.rejected[run_id] = str(damage)
        if not self.dry and damage.lasting:
            self.store.remark(run_id, {UNUSABLE: str(damage)})
