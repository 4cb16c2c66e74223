"""What the parent run shows of its steps, so that whole workflows compare in MLflow's table."""

from collections import Counter

from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.outcome import State

FOLD = "_fold"
"""The end of the name of a metric that is logged once for each fold of a cross validation."""


def parent_metrics(facts: Facts) -> dict[str, float]:
    """The steps' metrics by dotted name, those of a sweep's best combination, and what was saved."""
    found: dict[str, float] = {"workflow.saved_seconds": facts.saved_seconds}
    for state in (State.RAN, State.REUSED):
        found[f"workflow.{state}"] = sum(step.state == state for step in facts.steps)
    for name, step in shown_on_parent(facts).items():
        # Of a metric logged fold by fold only the last is here; its mean says more.
        known = {n: v for n, v in step.metrics.items() if v is not None and not n.endswith(FOLD)}
        found.update({f"{name}.{metric}": value for metric, value in known.items()})
    return found


def shown_on_parent(facts: Facts) -> dict[str, StepFacts]:
    """Step → its one execution; of many, that of the best combination, if anything tells which it is."""
    count = Counter(step.step for step in facts.steps)
    best = facts.sweep.best.nodes.values() if facts.sweep and facts.sweep.best else ()
    return {s.step: s for s in facts.steps if count[s.step] == 1 or s.node in best}


def best_parameters(facts: Facts) -> dict[str, str]:
    """The values of a sweep's best combination, as `best.<swept name>`."""
    best = facts.sweep.best if facts.sweep else None
    return {f"best.{n}": v for n, v in best.combination.items()} if best else {}
