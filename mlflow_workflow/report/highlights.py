"""What the parent run shows of its steps, so that whole workflows compare in MLflow's table."""

from collections import Counter

from mlflow_workflow.report.facts import BranchFacts, Facts, StepFacts
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
    """Dotted beginning → step. Of a step with many executions, that of the best combination if any."""
    count = Counter(step.step for step in facts.steps)
    winner = best_branch(facts)
    best = winner.nodes.values() if winner else ()
    found = {}
    for step in facts.steps:
        if count[step.step] == 1:
            found[step.step] = step
        elif step.node in best:
            found[f"best.{step.step}"] = step
    return found


def best_parameters(facts: Facts) -> dict[str, str]:
    """The values of a sweep's best combination, as `best.<swept name>`."""
    winner = best_branch(facts)
    return {f"best.{n}": v for n, v in winner.combination.items()} if winner else {}


def best_branch(facts: Facts) -> BranchFacts | None:
    """The best combination of a sweep; None if this is none, or nothing tells which is best."""
    first = facts.sweep.branches[0] if facts.sweep else None
    return first if first and first.value is not None else None
