"""The end of what the terminal shows: the table, what failed, the leaderboard, where to look."""

import json
import time

from mlflow_workflow.report.facts import Facts, SweepFacts
from mlflow_workflow.report.outcome import State
from mlflow_workflow.report.rows import how_long_ago, leaderboard, steps_table, why
from mlflow_workflow.report.table import as_text
from mlflow_workflow.report.terminal import Terminal, say, width

BEST = 20
"""How many combinations of a sweep the terminal shows."""


def tell(terminal: Terminal, facts: Facts, as_json: bool) -> None:
    """Says what became of every step, and where the result is; a plan as JSON is that alone."""
    planned = facts.state == "planned"
    if planned and as_json:
        say(plan_json(facts))
        return
    if planned or not terminal.quiet:
        columns = None if terminal.verbose else width()
        terminal.write(as_text(steps_table(facts, how_long_ago, metric=False), columns, terminal.paint))
        if facts.sweep and not planned:
            terminal.say(board(facts, facts.sweep, BEST, columns))
    for line in [*failures(facts), *closing(facts, terminal.quiet)]:
        terminal.say(line)


def failures(facts: Facts) -> list[str]:
    """For each failed step: which, its run, the end of what it printed, and what comes next."""
    lines: list[str] = []
    for step in facts.steps:
        if step.state == State.FAILED and step.run_id:
            lines += ["", f"{step.node} {step.failure} (run {step.run_id}). It printed last:"]
            lines += [f"    {line}" for line in step.log or ("(nothing)",)]
        elif step.state == State.FAILED:  # before it had a run
            lines += ["", f"{step.node} failed: {step.failure}"]
    return [*lines, "", "Steps that finished will be reused next time."] if lines else []


def closing(facts: Facts, quiet: bool) -> list[str]:
    """Where the one result is, if there is one, and what shows the run."""
    results = [step.outputs for step in facts.steps if step.step == facts.task]
    if len(results) == 1 and results[0]:
        return [results[0]] if quiet else [f"\nresult:  {results[0]}", f"open:    {facts.look}"]
    return [] if quiet else [f"\nopen:    {facts.look}"]


def board(facts: Facts, sweep: SweepFacts, most: int | None = None, columns: int | None = None) -> str:
    """The leaderboard of a sweep."""
    rest = len(sweep.variants) - (most or len(sweep.variants))
    notes = [f"… and {rest} more: leaderboard.txt of the parent run"] if rest > 0 else []
    if sweep.best is None:
        notes += [f"no step logs a metric {sweep.metric!r}: name another with -P metric=…"]
    return "\n".join([as_text(leaderboard(facts, sweep, most), columns), *notes])


def plan_json(facts: Facts) -> str:
    """The plan for machines; `seconds` is how long the step took, then or lately, `age` the run's."""
    rows = [
        {
            "step": step.node,
            "state": step.state,
            "reason": why(step, how_long_ago),
            "run_id": step.run_id,
            "age": round(time.time() - step.started) if step.started else None,
            "seconds": step.seconds,
        }
        for step in facts.steps
    ]
    return json.dumps({"steps": rows}, indent=1)
