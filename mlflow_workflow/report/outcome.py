"""What became of a node: made by run/, shown by the reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.server.earlier import Earlier


class State(StrEnum):
    """How a node ended. In a plan a step would run, or depends on what a step above it gives."""

    REUSED = "reused"
    RAN = "ran"
    PINNED = "pinned"
    FAILED = "failed"
    SKIPPED = "skipped"
    RUN = "run"
    DEPENDS = "depends"


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
    state: State
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
    def has_outputs(self) -> bool:
        """Are there outputs that a step below can read?"""
        return self.state in (State.REUSED, State.RAN, State.PINNED)

    @property
    def is_lost(self) -> bool:
        """Was it not done, so that nothing below it can be?"""
        return self.state in (State.FAILED, State.SKIPPED)
