"""One execution of a node: what was known and decided, and how far it is."""

from dataclasses import dataclass

from mlflow_workflow.project.nodes import Node
from mlflow_workflow.run.decide import Known


@dataclass
class Execution:
    """One execution of a node. `began` is in seconds since 1970, `attempts` counts starts."""

    node: Node
    known: Known
    reason: str
    run_id: str = ""
    began: float = 0.0
    seconds: float = 0.0
    attempts: int = 0
    finishing: bool = False

    @property
    def key(self) -> str:
        """What equal executions have in common; one that was forced is like no other."""
        return self.node.name if self.node.forced_reason else self.known.keys["commit"]
