"""What shall be done, and what became of it: a node for every step of the task, an outcome for each."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from workflow.errors import WorkflowError
from workflow.fingerprint import Summary
from workflow.graph import Step, Workflow
from workflow.manifest import Outputs
from workflow.parameters import Values

REUSED, RAN, PINNED = "reused", "ran", "pinned"
FAILED, SKIPPED = "failed", "skipped"
RUN, DEPENDS = "run", "depends"
"""States of a plan only: the step would run, or may be reused depending on what is above it."""


@dataclass(frozen=True)
class Earlier:
    """A published run. `started` is in seconds since 1970, `seconds` how long it took.

    `unusable` says why it must not be reused, if something is wrong with it.
    """

    run_id: str
    experiment_id: str
    artifact_uri: str
    started: float
    seconds: float
    outputs: str
    user: str
    commit: str | None
    unusable: str | None
    summaries: Mapping[str, Summary]
    metrics: Mapping[str, float]
    models: tuple[str, ...] = ()

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.time() - self.started


@dataclass(frozen=True)
class Node:
    """One step of the task with its parameters.

    `upstream` maps each step that it reads to that step's node; `asked` is the reason, if the
    user asked for a run; `wanted` tells that the user reads its outputs.
    """

    name: str
    step: Step
    values: Mapping[str, str]
    upstream: Mapping[str, str] = field(default_factory=dict)
    pin: str | None = None
    asked: str | None = None
    wanted: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a node.

    `failure` is how a run failed and `log` the end of what it printed. `uri` is what a step below
    it is told to have read; `digest` is of its outputs, None while nobody can know it; `seconds`
    is how long it took (for a reused one: then), `started` when, if it ran now;
    `models` are the ids of the models that its run logged.
    """

    node: str
    step: str
    state: str
    reason: str
    run_id: str | None = None
    uri: str | None = None
    outputs: Outputs | None = None
    digest: str | None = None
    seconds: float = 0.0
    earlier: Earlier | None = None
    failure: str | None = None
    log: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    warning: str | None = None
    started: float | None = None
    models: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Are there outputs that a step below can read?"""
        return self.state in (REUSED, RAN, PINNED)


def make_nodes(
    workflow: Workflow, task: str, values: Values, pins: Mapping[str, str], rerun: Iterable[str]
) -> list[Node]:
    """The nodes of a task, upstream first. What only pinned steps would need is left out.

    Raises:
        WorkflowError: a pin or rerun that does not fit.
    """
    asked = forced(workflow, rerun)
    names = needed(workflow, task, pins)
    for name in [name for name, pin in pins.items() if not pin.strip()]:
        raise WorkflowError(f"the pin of step {name!r} is empty: name a run, folder or URI, or drop it")
    for name in set(pins) & set(asked):
        raise WorkflowError(f"step {name!r} is pinned, so it cannot run again: drop the pin or rerun")
    return [
        Node(
            name=name,
            step=workflow.steps[name],
            values=values[name],
            upstream={} if name in pins else {step: step for step in workflow.steps[name].upstream},
            pin=pins.get(name),
            asked=asked.get(name),
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
