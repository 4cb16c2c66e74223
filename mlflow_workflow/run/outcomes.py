"""Outcomes of nodes that nothing was executed for."""

from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.candidates import outputs_of
from mlflow_workflow.server.earlier import Earlier


def reused(node: Node, earlier: Earlier, reason: str) -> Outcome:
    """An earlier run is as good."""
    return Outcome(
        node=node.name,
        step=node.step.name,
        state=State.REUSED,
        reason=reason,
        run_id=earlier.run_id,
        uri=f"runs:/{earlier.run_id}/{node.step.name}",
        outputs=outputs_of(node, earlier),
        digest=earlier.outputs,
        seconds=earlier.seconds,
        earlier=earlier,
        metrics=earlier.metrics,
        models=earlier.models,
    )


def planned(node: Node, state: State, reason: str, seconds: float) -> Outcome:
    """What a plan says of a step that would, or might, run; with how long that took lately."""
    return Outcome(node.name, node.step.name, state, reason, seconds=seconds)


def skipped(node: Node, reason: str) -> Outcome:
    """Not done, because of something else."""
    return Outcome(node.name, node.step.name, State.SKIPPED, reason)


def failed(node: Node, failure: str, run_id: str | None = None) -> Outcome:
    """Could not be done."""
    return Outcome(node.name, node.step.name, State.FAILED, "", run_id=run_id or None, failure=failure)
