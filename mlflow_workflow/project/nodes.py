"""What shall be done, and what became of it: a node for every step of the task, an outcome for each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.graph import Step, Workflow
from mlflow_workflow.project.parameters import Values


@dataclass(frozen=True)
class Node:
    """One step of the task with its parameters.

    `upstream` maps each step that it reads to that step's node; `forced_reason` says why it runs
    whatever was done before, if the user wants that; `wanted` tells that the user reads its outputs.
    """

    name: str
    step: Step
    values: Mapping[str, str]
    upstream: Mapping[str, str] = field(default_factory=dict)
    pin: str | None = None
    forced_reason: str | None = None
    wanted: bool = False


def make_nodes(
    workflow: Workflow, task: str, values: Values, pins: Mapping[str, str], rerun: Iterable[str]
) -> list[Node]:
    """The nodes of a task, upstream first. What only pinned steps would need is left out.

    Raises:
        WorkflowError: a pin or rerun that does not fit.
    """
    reasons = forced(workflow, rerun)
    names = needed(workflow, task, pins)
    for name in [name for name, pin in pins.items() if not pin.strip()]:
        raise WorkflowError(f"the pin of step {name!r} is empty: name a run, folder or URI, or drop it")
    for name in set(pins) & set(reasons):
        raise WorkflowError(f"step {name!r} is pinned, so it cannot run again: drop the pin or rerun")
    return [
        Node(
            name=name,
            step=workflow.steps[name],
            values=values[name],
            upstream={} if name in pins else {step: step for step in workflow.steps[name].upstream},
            pin=pins.get(name),
            forced_reason=reasons.get(name),
            wanted=name == task,
        )
        for name in names
    ]


def needed(workflow: Workflow, task: str, pins: Mapping[str, str]) -> list[str]:
    """The steps of a task in order, without those that only pinned steps would read."""
    order = workflow.order(task)
    reached, waiting = set(), [task]
    while waiting:
        name = waiting.pop()
        if name not in reached:  # many ways may lead to a step
            reached.add(name)
            waiting += [] if name in pins else list(workflow.steps[name].upstream)
    return [name for name in order if name in reached]


def forced(workflow: Workflow, rerun: Iterable[str]) -> dict[str, str]:
    """Why each step that `rerun` names, or that is below such a one, shall run."""
    named = set(workflow.steps) if "all" in (rerun := list(rerun)) else set(rerun)
    return {
        step: "forced by rerun" if step in named else "forced by rerun of a step above it"
        for step in workflow.below(named)
    }
