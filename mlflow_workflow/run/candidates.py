"""Earlier runs of the same identity: which of them is whole, and why the others are not."""

from dataclasses import dataclass, field

from mlflow_workflow.identity.fingerprint import fingerprint
from mlflow_workflow.outputs import artifacts
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.handover import HandOver
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.run.child import Identities
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.store import Store


@dataclass
class Candidates:
    """What one invocation found out about earlier runs.

    Without `marks` nothing is written to the tracking server. `rejected` maps runs to what is wrong
    with them, `met` holds runs that were published while we waited.
    """

    store: Store
    mode: str
    handover: HandOver
    marks: bool
    rejected: dict[str, str] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def choose(self, node: Node, identities: Identities, rejections: list[str]) -> Earlier | None:
        """The newest published run of this identity whose outputs are whole; else says why not."""
        found = self.store.find(node.step.name, self.mode, fingerprint(identities[self.mode]))
        for earlier in found:
            why = earlier.unusable or self.rejected.get(earlier.run_id) or self.damage(node, earlier)
            if why is None:
                return earlier
            rejections.append(in_a_sentence(earlier, why))
        if not found:
            rejections += self.deleted(node, identities)
        return None

    def deleted(self, node: Node, identities: Identities) -> list[str]:
        """What to say if there was such a run, and somebody deleted it."""
        key = fingerprint(identities[self.mode])
        gone = self.store.find_deleted(node.step.name, self.mode, key)
        return [f"run {earlier.run_id[:8]} was deleted" for earlier in gone]

    def damage(self, node: Node, earlier: Earlier) -> str | None:
        """What is wrong with a run's outputs. What the user will read is checked by content."""
        outputs = outputs_of(node, earlier)
        try:
            if node.wanted:
                self.handover.over(f"runs:/{earlier.run_id}/{node.step.name}", outputs)
            else:
                artifacts.check_names(outputs)
        except Damaged as error:
            self.reject(earlier.run_id, error)
            return str(error)
        return None

    def reject(self, run_id: str, damage: Damaged) -> None:
        """Never looks at a damaged run again."""
        self.rejected[run_id] = str(damage)
        if self.marks and damage.lasting:
            self.store.mark_unusable(run_id, str(damage))

    def is_bad(self, run_id: str) -> bool:
        """Was a published run found to be of no use? One that `find` did not give is of none either."""
        return run_id in self.rejected or run_id in self.met


def in_a_sentence(earlier: Earlier, why: str) -> str:
    """`run 3f2a1b9c is banned: …` or `outputs of run 3f2a1b9c are gone: train.csv`."""
    run = earlier.run_id[:8]
    return f"run {run} is {why}" if why.startswith("banned") else f"outputs of run {run} are {why}"


def outputs_of(node: Node, earlier: Earlier) -> Outputs:
    """Where an earlier run's outputs are, and what they must be."""
    return Outputs(earlier.artifact_uri, node.step.name, earlier.outputs)
