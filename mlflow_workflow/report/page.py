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
from mlflow_workflow.report import charts, layout
from mlflow_workflow.report.description import data_digests, metric_text
from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.links import run_page

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).with_name("pages")
WIDTH, HEIGHT, GAP = 264.0, 106.0, 34.0
REASON_WIDTH, REASON_LINES = 40, 3
MOST_ROWS = 200


@dataclass(frozen=True)
class Box:
    """One step of the graph, or in a sweep all its executions together."""

    name: str
    state: str
    line: str
    reason: Sequence[str]
    title: str
    link: str | None
    x: float
    y: float


def page(facts: Facts) -> str:
    """The page's HTML."""
    drawn = graph(facts.steps)
    return render(
        "workflow.html",
        facts=facts,
        graph=drawn,
        boxes=boxes(facts.steps, drawn),
        arrows=[arrow(points) for points in drawn.arrows],
        size=(WIDTH, HEIGHT),
        by_node={step.node: step for step in facts.steps},
        bars=charts.timeline(facts),
        charts=charts.charts(facts.sweep) if facts.sweep else [],
        here=run_page(facts.experiment_id, facts.run_id),
        data=data_digests(facts),
        most=MOST_ROWS,
    )


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
    environment.filters.update(duration=duration, run_link=run_link, metric=metric_text)
    return environment


def graph(steps: Sequence[StepFacts]) -> layout.Layout:
    """The steps in layers, each once however often it was executed."""
    upstream = {step.step: tuple(step.upstream) for step in steps}
    # A pinned step's own upstream may be no part of this invocation.
    shown = {name: [u for u in above if u in upstream] for name, above in upstream.items()}
    return layout.layered(shown, WIDTH, HEIGHT, GAP)


def boxes(steps: Sequence[StepFacts], drawn: layout.Layout) -> list[Box]:
    """What each box of the graph says."""
    by_step: dict[str, list[StepFacts]] = {}
    for step in steps:
        by_step.setdefault(step.step, []).append(step)
    return [
        one_box(found[0], *drawn.boxes[name]) if len(found) == 1 else many(found, *drawn.boxes[name])
        for name, found in by_step.items()
    ]


def one_box(step: StepFacts, x: float, y: float) -> Box:
    """The box of a step that was executed or reused once."""
    time = duration(step.seconds) if step.seconds else ""
    line = " · ".join(part for part in (time, metric_text(step)) if part)
    return Box(step.node, step.state, line, wrapped(step.reason), step.reason, run_link(step), x, y)


def many(steps: Sequence[StepFacts], x: float, y: float) -> Box:
    """The box of a step that a sweep executed many times: how many, and in which states."""
    states = [step.state for step in steps]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    worst = next((s for s in ("failed", "skipped", "run", "depends", "ran") if s in states), states[0])
    line = f"{len(steps)} executions · {duration(sum(step.seconds for step in steps))}"
    return Box(steps[0].step, worst, line, wrapped(counts), counts, None, x, y)


def wrapped(text: str) -> list[str]:
    """A reason as the few lines that fit a box."""
    return textwrap.wrap(text, REASON_WIDTH, max_lines=REASON_LINES, placeholder=" …")


def arrow(points: Sequence[tuple[float, float]]) -> str:
    """The path of an arrow: straight down where it passes a layer, curved in between."""
    (x, y), *rest = points
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        middle = (y + to_y) / 2
        bend = f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        path.append(bend if to_x != x else f"V{to_y:.1f}")
        x, y = to_x, to_y
    return "".join(path)


def run_link(step: StepFacts) -> str | None:
    """A run's page, relative to the server."""
    return run_page(step.experiment_id, step.run_id) if step.run_id else None
