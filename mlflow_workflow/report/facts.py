"""What happened in one invocation, as plain facts: every report is made of them.

They are the artifact `workflow.json` of the parent run as they stand, field by field. Times are
seconds since 1970, durations seconds; a number that JSON has no word for (nan, infinity) is null.
`schema` counts up when a field changes its meaning or goes; new fields may come without that.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from mlflow_workflow.basics.durations import ago, duration
from mlflow_workflow.identity.fingerprint import Summary
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.project.sweep import Variant
from mlflow_workflow.report.outcome import Outcome, State

SCHEMA = 1


@dataclass(frozen=True)
class StepFacts:
    """One step, or in a sweep one of its executions.

    node: its name in this invocation: the step, in a sweep with the swept values
    state: reused, ran, pinned, failed or skipped; in a plan also run or depends
    run_id, experiment_id: the run that stands for it, null if there is none
    seconds: how long it took, for a reused one: then; started: when, null unless it ran now
    upstream: step that it reads → node; outputs: where they are; digest: sha256 of what they are
    main_metric: the name in `metrics` of the one to show; models: ids of MLflow's logged models
    fingerprint: of its identity; identity: kind → ingredient → value, digests cut to 12 digits
    nearest: the earlier run that it was compared with; differences: how it differs, in words
    """

    node: str
    step: str
    state: str
    reason: str
    run_id: str | None
    experiment_id: str | None
    seconds: float
    started: float | None
    parameters: Mapping[str, str]
    upstream: Mapping[str, str]
    metrics: Mapping[str, float | None]
    main_metric: str | None
    models: Sequence[str]
    outputs: str | None
    digest: str | None
    fingerprint: str | None
    identity: Summary
    nearest: str | None
    differences: Sequence[str]
    warning: str | None
    failure: str | None


@dataclass(frozen=True)
class CodeFacts:
    """The code: `match` is what counts as such; `changes` are the uncommitted files."""

    match: str
    commit: str | None
    dirty: bool
    changes: Sequence[str]
    url: str | None


@dataclass(frozen=True)
class BranchFacts:
    """One combination of a sweep: swept parameter → value, the metric if it has it, its nodes."""

    combination: Mapping[str, str]
    value: float | None
    state: str
    nodes: Mapping[str, str]


@dataclass(frozen=True)
class SweepFacts:
    """The combinations, best first. `lowest_is_best` tells that the metric was given as -name."""

    metric: str
    lowest_is_best: bool
    branches: Sequence[BranchFacts]


@dataclass(frozen=True)
class Facts:
    """One invocation.

    headline: it in one line; command: what repeats exactly this; look: the link or the command
    that shows it; server: the tracking server if it is an http one; saved_seconds: how long the
    reused runs took, when they ran; settings: main's own parameters that are not empty
    """

    schema: int
    headline: str
    task: str
    description: str
    state: str
    run_id: str
    experiment_id: str
    started: float
    seconds: float
    saved_seconds: float
    server: str | None
    look: str
    command: str
    settings: Mapping[str, str]
    code: CodeFacts
    steps: Sequence[StepFacts]
    sweep: SweepFacts | None


@dataclass(frozen=True)
class Compared:
    """What a node was identified as and compared with: see StepFacts."""

    fingerprint: str
    identity: Summary
    nearest: str | None = None
    differences: Sequence[str] = ()


def to_json(facts: Facts) -> str:
    """The text of workflow.json."""
    return json.dumps(asdict(facts), indent=1, allow_nan=False)


def step_facts(
    node: Node, outcome: Outcome, compared: Compared | None, metric: str, here: str
) -> StepFacts:
    """The facts of one node. `here` is the experiment in which new runs are made."""
    experiment = outcome.earlier.experiment_id if outcome.earlier else here
    return StepFacts(
        node=node.name,
        step=node.step.name,
        state=outcome.state,
        reason=reason(outcome),
        run_id=outcome.run_id,
        experiment_id=experiment if outcome.run_id else None,
        seconds=round(outcome.seconds, 3),
        started=outcome.started,
        parameters={} if node.pin else dict(node.values),
        upstream=dict(node.upstream),
        metrics={name: finite(value) for name, value in sorted(outcome.metrics.items())},
        main_metric=main_metric(outcome.metrics, metric),
        models=outcome.models,
        outputs=outcome.outputs.uri if outcome.outputs else outcome.uri,
        digest=outcome.digest,
        fingerprint=compared.fingerprint if compared else None,
        identity=compared.identity if compared else {},
        nearest=compared.nearest if compared else None,
        differences=tuple(compared.differences) if compared else (),
        warning=outcome.warning,
        failure=outcome.failure,
    )


def finite(value: float) -> float | None:
    """The number, None for nan and infinity."""
    return value if math.isfinite(value) else None


def reason(outcome: Outcome) -> str:
    """Why a step was reused or ran, and how it failed."""
    parts = [outcome.failure or "", outcome.reason]
    if outcome.earlier:
        parts = [f"{outcome.reason} ({ago(outcome.earlier.age)})"]
    return "; ".join(part for part in [*parts, outcome.warning or ""] if part)


def main_metric(metrics: Mapping[str, float], asked: str) -> str | None:
    """The metric asked for if the step has it, else the first by name."""
    name = asked.removeprefix("-")
    return name if name in metrics else min(metrics, default=None)


def sweep_facts(
    branches: Sequence[Variant], outcomes: Mapping[str, Outcome], metric: str
) -> SweepFacts | None:
    """The combinations of a sweep, best first; None if this is none.

    The smallest is best if the metric is named `-x`.
    """
    if len(branches) < 2:
        return None
    name, lowest = metric.removeprefix("-"), metric.startswith("-")
    found = [branch_facts(branch, outcomes, name) for branch in branches]
    found.sort(key=lambda b: math.inf if b.value is None else b.value * (1 if lowest else -1))
    return SweepFacts(name, lowest, tuple(found))


def branch_facts(branch: Variant, outcomes: Mapping[str, Outcome], metric: str) -> BranchFacts:
    """One combination; its value is that of its last step which has the metric."""
    steps = [outcomes[node] for node in branch.nodes.values()]
    values = [o.metrics[metric] for o in steps if metric in o.metrics]
    value = finite(values[-1]) if values else None
    state = next((o.state for o in steps if not o.settled), "done")
    return BranchFacts(dict(branch.combination), value, state, dict(branch.nodes))


def saved_seconds(outcomes: Iterable[Outcome]) -> float:
    """How long the runs that are reused took when they ran."""
    return sum(outcome.seconds for outcome in outcomes if outcome.state == State.REUSED)


def headline(task: str, outcomes: Sequence[Outcome], combinations: int, planned: bool) -> str:
    """`predict · 1 ran, 2 reused · saved 41 s`."""
    words = {State.RUN: "would run", State.DEPENDS: "may be reused"}
    states = [o.state for o in outcomes]
    counts = [f"{states.count(s)} {words.get(s, s)}" for s in ORDER if s in states]
    parts = [f"{task}: plan" if planned else task]
    parts += [f"sweep of {combinations}"] if combinations > 1 else []
    parts += [", ".join(counts)]
    saved = saved_seconds(outcomes)
    parts += [f"{'saves' if planned else 'saved'} {duration(saved)}"] if saved else []
    return " · ".join(parts)


ORDER = (
    State.FAILED,
    State.SKIPPED,
    State.RUN,
    State.DEPENDS,
    State.RAN,
    State.REUSED,
    State.PINNED,
)
