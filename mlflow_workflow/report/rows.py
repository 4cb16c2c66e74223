"""What the tables say: a row for every step, a row for every combination of a sweep."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from mlflow_workflow.basics.durations import ago, duration
from mlflow_workflow.report.facts import Facts, StepFacts, SweepFacts
from mlflow_workflow.report.links import run_page
from mlflow_workflow.report.outcome import State
from mlflow_workflow.report.table import Cell, Table, run_cell, state_cell

Moment = Callable[[float], str]
"""How a time since 1970 is told."""


def how_long_ago(moment: float) -> str:
    """For who reads it now."""
    return ago(time.time() - moment)


def date(moment: float) -> str:
    """For who reads it some day."""
    return datetime.fromtimestamp(moment, UTC).strftime("on %Y-%m-%d %H:%M UTC")


def steps_table(facts: Facts, when: Moment, most: int | None = None, metric: bool = True) -> Table:
    """A row for every step: what became of it, and why."""
    headings = ("step", "state", "run", "time", *(["metric"] if metric else []), "reason")
    return Table(headings, [step_row(step, when, metric) for step in facts.steps[:most]])


def step_row(step: StepFacts, when: Moment, metric: bool) -> list[Cell]:
    """The cells of one step."""
    return [
        Cell(step.node),
        state_cell(step.state),
        run_cell(step.run_id, run_link(step)),
        Cell(duration(step.seconds) if step.seconds else "", "number"),
        *([Cell(metric_text(step))] if metric else []),
        Cell(why(step, when), "wrap"),
    ]


def why(step: StepFacts, when: Moment) -> str:
    """The reason; of an earlier run first who made it, and when."""
    if step.state not in (State.REUSED, State.PINNED) or step.started is None:
        return step.reason
    by = f" by {step.user}" if step.user else ""
    return f"made{by} {when(step.started)}: {step.reason}"


def metric_text(step: StepFacts) -> str:
    """`cv_accuracy_mean 0.7912`."""
    value = step.metrics.get(step.main_metric) if step.main_metric else None
    return f"{step.main_metric} {value:.4g}" if value is not None else ""


def run_link(step: StepFacts) -> str | None:
    """A run's page, relative to the server."""
    return run_page(step.experiment_id, step.run_id) if step.run_id else None


def leaderboard(facts: Facts, sweep: SweepFacts, most: int | None = None) -> Table:
    """The combinations of a sweep, best first."""
    by_node = {step.node: step for step in facts.steps}
    rows = []
    for variant in sweep.variants[:most]:
        last = by_node[list(variant.nodes.values())[-1]]
        rows.append(
            [
                Cell("" if variant.value is None else f"{variant.value:.4f}", "number"),
                *(Cell(value, "code") for value in variant.combination.values()),
                run_cell(last.run_id, run_link(last)),
                state_cell(variant.state),
            ]
        )
    return Table((sweep.metric, *sweep.variants[0].combination, "run", "state"), rows)
