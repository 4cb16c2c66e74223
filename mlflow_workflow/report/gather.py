"""Makes the facts of an invocation out of what run/ knows of it."""

import math
import time
from collections.abc import Mapping, Sequence

from mlflow_workflow.identity.code import Code
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.project.request import Request
from mlflow_workflow.project.sweep import Variant
from mlflow_workflow.report import repeat
from mlflow_workflow.report.facts import (
    SCHEMA,
    CodeFacts,
    Compared,
    Facts,
    StepFacts,
    SweepFacts,
    VariantFacts,
)
from mlflow_workflow.report.links import look
from mlflow_workflow.report.names import headline
from mlflow_workflow.report.outcome import Outcome, State


def gather(
    request: Request,
    code: Code,
    outcomes: Mapping[str, Outcome],
    compared: Mapping[str, Compared],
    *,
    planned: bool,
    run_id: str,
    experiment_id: str,
    started: float,
    uri: str,
    source: str,
) -> Facts:
    """The facts, once every node has its outcome; `source` is what `mlflow run` was given."""
    metric, settings = request.settings["metric"], request.settings
    steps = [
        step_facts(node, outcomes[node.name], compared.get(node.name), metric, experiment_id)
        for node in request.nodes
    ]
    done = all(outcome.has_outputs for outcome in outcomes.values())
    return Facts(
        schema=SCHEMA,
        headline=headline(request.task, steps, len(request.variants), planned),
        task=request.task,
        description=settings.get("description", ""),
        state="planned" if planned else "done" if done else "failed",
        run_id=run_id,
        experiment_id=experiment_id,
        started=started,
        seconds=round(time.time() - started, 3),
        saved_seconds=round(sum(s.seconds for s in steps if s.state == State.REUSED), 3),
        server=uri if uri.startswith("http") else None,
        look=look(uri, experiment_id, run_id),
        command=repeat.command(request, code, source),
        settings={name: value for name, value in settings.items() if value},
        code=code_facts(settings["match"], code),
        steps=tuple(steps),
        sweep=sweep_facts(request.variants, outcomes, metric),
    )


def code_facts(match: str, code: Code) -> CodeFacts:
    """The code as reports name it."""
    return CodeFacts(match, code.commit, code.dirty, tuple(code.changes) if code.dirty else (), code.url)


def step_facts(
    node: Node, outcome: Outcome, compared: Compared | None, metric: str, here: str
) -> StepFacts:
    """The facts of one node. `here` is the experiment in which new runs are made."""
    earlier = outcome.earlier
    parts = (outcome.failure, outcome.reason, outcome.warning)
    return StepFacts(
        node=node.name,
        step=node.step.name,
        state=outcome.state,
        reason="; ".join(part for part in parts if part),
        run_id=outcome.run_id,
        experiment_id=(earlier.experiment_id if earlier else here) if outcome.run_id else None,
        user=earlier.user if earlier else None,
        started=earlier.started if earlier else outcome.started,
        seconds=round(outcome.seconds, 3),
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
        log=outcome.log,
    )


def finite(value: float) -> float | None:
    """The number, None for nan and infinity."""
    return value if math.isfinite(value) else None


def main_metric(metrics: Mapping[str, float], asked: str) -> str | None:
    """The metric asked for if the step has it, else the first by name."""
    name = asked.removeprefix("-")
    return name if name in metrics else min(metrics, default=None)


def sweep_facts(
    variants: Sequence[Variant], outcomes: Mapping[str, Outcome], metric: str
) -> SweepFacts | None:
    """The combinations of a sweep, best first; None if this is none.

    The smallest is best if the metric is named `-x`.
    """
    if len(variants) < 2:
        return None
    name, lowest = metric.removeprefix("-"), metric.startswith("-")
    found = [variant_facts(variant, outcomes, name) for variant in variants]
    found.sort(key=lambda b: math.inf if b.value is None else b.value * (1 if lowest else -1))
    return SweepFacts(name, lowest, tuple(found))


def variant_facts(variant: Variant, outcomes: Mapping[str, Outcome], metric: str) -> VariantFacts:
    """One combination; its value is that of its last step which has the metric."""
    steps = [outcomes[node] for node in variant.nodes.values()]
    values = [o.metrics[metric] for o in steps if metric in o.metrics]
    value = finite(values[-1]) if values else None
    state = next((o.state for o in steps if not o.has_outputs), "done")
    return VariantFacts(dict(variant.combination), value, state, dict(variant.nodes))
