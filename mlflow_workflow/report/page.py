"""workflow.html: everything about one invocation on one page that needs no network.

MLflow shows an artifact like this one in a sandboxed frame: scripts run, but a link may not leave
the frame. So the page itself finds the server it is shown by, and offers the address to copy.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.report import charts
from mlflow_workflow.report.description import data_digests
from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.links import run_page
from mlflow_workflow.report.rows import date, leaderboard, metric_text, run_link, steps_table, why
from mlflow_workflow.report.table import cut

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).with_name("pages")
WIDTH, HEIGHT, GAP = 372.0, 84.0, 18.0
LINE, REASON_LINES = 52, 2
MOST_ROWS = 200


@dataclass(frozen=True)
class Box:
    """One step of the graph, or in a sweep all its executions together."""

    name: str
    state: str
    line: str
    reason: str
    link: str | None

    @property
    def lines(self) -> list[str]:
        """What is below the name: the line, and the reason as far as it fits."""
        reason = textwrap.wrap(self.reason, LINE, max_lines=REASON_LINES, placeholder=" …")
        return [cut(self.line, LINE), *reason]


def page(facts: Facts) -> str:
    """The page's HTML."""
    shown = by_step(facts)
    # A pinned step's own upstream may be no part of this invocation.
    upstream = {name: [u for u in steps[0].upstream if u in shown] for name, steps in shown.items()}
    return render(
        "workflow.html",
        facts=facts,
        boxes=[box(steps) for steps in shown.values()],
        arrows=charts.arrows(upstream, HEIGHT, GAP),
        size=(WIDTH, HEIGHT, GAP, charts.INDENT),
        bars=charts.timeline(facts),
        board=leaderboard(facts, facts.sweep, MOST_ROWS) if facts.sweep else None,
        charts=charts.charts(facts.sweep) if facts.sweep else [],
        steps=steps_table(facts, date, MOST_ROWS),
        here=run_page(facts.experiment_id, facts.run_id),
        data=data_digests(facts),
        most=MOST_ROWS,
    )


def by_step(facts: Facts) -> dict[str, list[StepFacts]]:
    """The executions of each step, upstream first."""
    found: dict[str, list[StepFacts]] = {}
    for step in facts.steps:
        found.setdefault(step.step, []).append(step)
    return found


def render(template: str, **values: object) -> str:
    """A page of `pages/`; every value in it is escaped."""
    return pages().get_template(template).render(**values)


@cache
def pages() -> "Environment":
    """The templates, each compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only ever needed at the end

    environment = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration)
    environment.globals.update(run_page=run_page)
    return environment


def box(steps: Sequence[StepFacts]) -> Box:
    """What the box of a step says; of many executions how many are in which states."""
    first, states = steps[0], [step.state for step in steps]
    time = duration(sum(step.seconds for step in steps))
    if len(steps) == 1:
        line = " · ".join(part for part in (time, metric_text(first)) if part)
        return Box(first.node, first.state, line, why(first, date), run_link(first))
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    worst = next((s for s in ("failed", "skipped", "run", "depends", "ran") if s in states), states[0])
    return Box(first.step, worst, f"{len(steps)} executions · {time}", counts, None)
