"""What happened in one invocation, as plain facts: made once, and every report only formats them.

They are the artifact `workflow.json` of the parent run as they stand, field by field. Times are
seconds since 1970, durations seconds; a number that JSON has no word for (nan, infinity) is null.
`schema` counts up when a field changes its meaning or goes; new fields may come without that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from mlflow_workflow.identity.fingerprint import Summary

SCHEMA = 2


@dataclass(frozen=True)
class StepFacts:
    """One step, or in a sweep one of its executions.

    node: its name in this invocation: the step, in a sweep with the swept values
    state: reused, ran, pinned, failed or skipped; in a plan also run or depends
    run_id, experiment_id: the run that was made or is reused, null if there is none
    user, started, seconds: of that run: who made it if it is an earlier one, when, how long it took
    upstream: step that it reads → node; outputs: where they are; digest: sha256 of what they are
    main_metric: the name in `metrics` of the one to show; models: ids of MLflow's logged models
    fingerprint: of its identity; identity: kind → ingredient → value, digests cut to 12 digits
    nearest: the earlier run that it was compared with; differences: how it differs, in words
    log: of a failed one the end of what it printed
    """

    node: str
    step: str
    state: str
    reason: str
    run_id: str | None
    experiment_id: str | None
    user: str | None
    started: float | None
    seconds: float
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
    log: Sequence[str]


@dataclass(frozen=True)
class CodeFacts:
    """The code: `match` is what counts as such; `changes` are the uncommitted files."""

    match: str
    commit: str | None
    dirty: bool
    changes: Sequence[str]
    url: str | None


@dataclass(frozen=True)
class VariantFacts:
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
    variants: Sequence[VariantFacts]

    @property
    def best(self) -> VariantFacts | None:
        """The best combination; None if nothing tells which it is."""
        return self.variants[0] if self.variants[0].value is not None else None


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
