"""What happened, for the terminal: the table, what failed, the leaderboard, where to look."""

import json
import shlex
from collections.abc import Callable, Sequence

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.report.facts import SweepFacts, reason
from mlflow_workflow.report.links import run_page
from mlflow_workflow.report.outcome import Outcome, State

HEADINGS = ("step", "state", "run", "time", "reason")
WIDEST = 100
BEST = 20
"""How many combinations of a sweep the terminal shows."""

Paint = Callable[[State, str], str]
"""Colours a text after a state."""


def plain(_state: str, text: str) -> str:
    """The text without colour."""
    return text


def table(outcomes: Sequence[Outcome], paint: Paint = plain, widest: int = WIDEST) -> str:
    """A row for every step, in aligned columns."""
    lines = aligned([HEADINGS, *(row(outcome, widest) for outcome in outcomes)]).split("\n")
    # The first line is empty, the second the headings.
    shown = [paint(o.state, line) for o, line in zip(outcomes, lines[2:], strict=True)]
    return "\n".join([*lines[:2], *shown])


def row(outcome: Outcome, widest: int) -> tuple[str, ...]:
    """The cells of one step."""
    run = (outcome.run_id or "-")[:8]
    seconds = duration(outcome.seconds) if outcome.seconds else "-"
    return (outcome.node, outcome.state, run, seconds, shortened(reason(outcome), widest))


def shortened(text: str, length: int) -> str:
    """A reason that fits a line of the table."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """For each failed step: which, its run, the end of what it printed, and what comes next."""
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.state == State.FAILED:
            lines += ["", f"{outcome.node} {outcome.failure} (run {outcome.run_id}). It printed last:"]
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


def leaderboard(sweep: SweepFacts, most: int = BEST) -> str:
    """The combinations of a sweep, best first."""
    names = list(sweep.branches[0].combination)
    rows = [
        (
            "-" if b.value is None else f"{b.value:.4f}",
            *(shortened(b.combination[name], 40) for name in names),
            "" if b.state == "done" else b.state,
        )
        for b in sweep.branches
    ]
    board = aligned([(sweep.metric, *names, ""), *rows[:most]])
    notes = [f"… and {len(rows) - most} more: leaderboard.txt of the parent run"] if rows[most:] else []
    if all(b.value is None for b in sweep.branches):
        notes += [f"no step logs a metric {sweep.metric!r}: name another with -P metric=…"]
    return "\n".join([board, *notes])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the last one as it is."""
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[-1]]) for r in rows]
    return "\n".join(["", *(line.rstrip() for line in lines)])


def look(uri: str, experiment_id: str, run_id: str) -> str:
    """The link of a run in the UI, or the command that opens the UI."""
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/{run_page(experiment_id, run_id)}"
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def where(outcome: Outcome, shown_by: str) -> str:
    """Where the result is, and what shows it."""
    return f"\nresult:  {result(outcome)}\nopen:    {shown_by}"


def result(outcome: Outcome) -> str:
    """Where a step's outputs are."""
    return str(outcome.outputs.uri if outcome.outputs else outcome.uri)
