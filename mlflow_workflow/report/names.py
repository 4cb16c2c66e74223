"""What runs are called, and an invocation in one line."""

import re
from collections import Counter
from collections.abc import Sequence

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.outcome import State
from mlflow_workflow.report.table import cut

ORDER = {
    State.FAILED: "failed",
    State.SKIPPED: "skipped",
    State.RUN: "would run",
    State.DEPENDS: "may be reused",
    State.RAN: "ran",
    State.REUSED: "reused",
    State.PINNED: "pinned",
}


def headline(task: str, steps: Sequence[StepFacts], combinations: int, planned: bool) -> str:
    """`predict · 1 ran, 2 reused · saved 41 s`."""
    count = Counter(step.state for step in steps)
    saved = sum(step.seconds for step in steps if step.state == State.REUSED)
    parts = [f"{task}: plan" if planned else task]
    parts += [f"sweep of {combinations}"] if combinations > 1 else []
    parts += [", ".join(f"{count[state]} {words}" for state, words in ORDER.items() if count[state])]
    parts += [f"{'saves' if planned else 'saved'} {duration(saved)}"] if saved else []
    return " · ".join(parts)


def parent_name(facts: Facts) -> str:
    """`predict · 3 ran`, `predict · 1 of 3 ran`, `predict · all reused`, `train · sweep of 12`."""
    count = Counter(step.state for step in facts.steps)
    ran, whole = count[State.RAN], len(facts.steps)
    failed = [step.node for step in facts.steps if step.state == State.FAILED]
    if facts.state == "planned":
        what = "plan"
    elif facts.sweep:
        what = f"sweep of {len(facts.sweep.variants)}" + (f", {len(failed)} failed" if failed else "")
    elif facts.state == "failed":
        what = f"{', '.join(failed)} failed" if failed else "stopped"
    else:
        what = "all reused" if not ran else f"{ran} ran" if ran == whole else f"{ran} of {whole} ran"
    return f"{facts.task} · {what}"


def child_name(node: Node) -> str:
    """`train · seed 1`: the step, with its swept values, or those that are not MLproject's defaults."""
    step = node.step
    swept = re.sub(r"(^| )([\w.-]+)=", r", \2 ", node.name.removeprefix(step.name).strip())
    own = step.own_parameters.values()
    chosen = [f"{p.name} {cut(node.values[p.name], 40)}" for p in own if is_chosen(node, p.name)]
    words = swept.removeprefix(", ") or ", ".join(chosen)
    return f"{step.name} · {words}" if words else step.name


def is_chosen(node: Node, name: str) -> bool:
    """Has a parameter another value than MLproject gives it?"""
    return node.values.get(name) not in (None, node.step.parameters[name].default)
