"""What happened, for people: the terminal's table and the parent run's description."""

import json
import math
from collections.abc import Mapping, Sequence

from mlflow.entities import Run

from workflow import plan
from workflow.explain import ago
from workflow.plan import Outcome
from workflow.sweep import Branch

HEADINGS = ("step", "state", "run", "time", "reason")
WIDEST = 100


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for every step, in aligned columns."""
    return aligned([HEADINGS, *(row(outcome) for outcome in outcomes)])


def row(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one step."""
    run = (outcome.run_id or "-")[:8]
    seconds = duration(outcome.seconds) if outcome.seconds else "-"
    return (outcome.node, outcome.state, run, seconds, shortened(reason(outcome)))


def reason(outcome: Outcome) -> str:
    """Why a step was reused or ran, and how it failed."""
    parts = [outcome.failure or "", outcome.reason]
    if outcome.earlier:
        parts = [f"{outcome.reason} ({ago(outcome.earlier.age)})"]
    return "; ".join(part for part in [*parts, outcome.warning or ""] if part)


def shortened(text: str, length: int = WIDEST) -> str:
    """A reason that fits a line of the table."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def duration(seconds: float) -> str:
    """2.1 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """For each failed step: which, its run, the end of what it printed, and what comes next."""
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.state == plan.FAILED:
            lines += [
                "",
                f"{outcome.node} {outcome.failure} (run {outcome.run_id}). It printed last:",
            ]
            lines += [f"    {line}" for line in outcome.log or ("(nothing)",)]
    if lines:
        lines += ["", "Steps that finished will be reused next time."]
    return lines


def plan_json(outcomes: Sequence[Outcome]) -> str:
    """The plan for machines; `seconds` is how long the step took, then or lately."""
    rows = [
        {
            "step": o.node,
            "state": o.state,
            "reason": reason(o),
            "run_id": o.run_id,
            "age": round(o.earlier.age) if o.earlier else None,
            "seconds": round(o.seconds, 3),
        }
        for o in outcomes
    ]
    return json.dumps({"steps": rows}, indent=1)


def leaderboard(branches: Sequence[Branch], outcomes: Mapping[str, Outcome], metric: str) -> str:
    """The combinations of a sweep, best first; the smallest is best if the metric is named `-x`."""
    name, sign = metric.removeprefix("-"), -1 if metric.startswith("-") else 1
    rows = []
    for branch in branches:
        steps = [outcomes[node] for node in branch.nodes.values()]
        values = [o.metrics[name] for o in steps if name in o.metrics]
        state = next((o.state for o in steps if not o.settled), "")
        rows.append((values[-1] if values else None, dict(branch.combination), state))
    rows.sort(key=lambda row: -math.inf if row[0] is None else sign * row[0], reverse=True)
    heads = (name, *branches[0].combination, "")
    cells = [(f"{v:.4f}" if v is not None else "-", *c.values(), state) for v, c, state in rows]
    return aligned([heads, *cells])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the last one as it is."""
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[-1]]) for r in rows]
    return "\n".join(["", *(line.rstrip() for line in lines)])


def where(outcome: Outcome, uri: str, run: Run) -> str:
    """Where the result is, and the command to open it."""
    result = outcome.outputs.uri if outcome.outputs else outcome.uri
    link = f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    look = f"{uri}{link}" if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"
    return f"\nresult:  {result}\nopen:    {look}"


def description(text: str, outcomes: Sequence[Outcome]) -> str:
    """Markdown for the parent run: the user's words, then a row for every step."""
    lines = [f"## {escaped(text)}", ""] if text else []
    lines += ["| step | state | run | time | reason |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        cells = [escaped(cell) for cell in row(outcome)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_{}[]|#~":
        shown = shown.replace(mark, f"\\{mark}")
    return " ".join(shown.split())
