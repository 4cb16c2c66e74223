"""The parent run's description: Markdown that MLflow's page of the run shows first."""

import re
from collections.abc import Iterator

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.links import model_page, run_page

LONGEST = 7_900
"""Characters; MLflow cuts a tag at 8,000."""
LONGEST_REASON = 300
LONGEST_COMMAND = 2_000
MARKS = {"\\": "\\\\", **{mark: f"\\{mark}" for mark in "*_{}[]#~"}}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
SPACE = "&emsp;"
"""MLflow's tables have no space between columns."""
HEADINGS = ("step", "state", "run", "time", "metric", "reason")


def description(facts: Facts) -> str:
    """One line on what was asked, the user's words, a row for every step, and how to repeat it.

    Of a sweep too long for a tag the first rows are shown; the page holds the others.
    """
    before = [f"**{escaped(facts.headline)}**", ""]
    before += [f"## {escaped(facts.description[:1_000])}", ""] if facts.description else []
    after = ["", *closing(facts)]
    room = LONGEST - sum(len(line) + 1 for line in [*before, *after])
    return "\n".join([*before, *table(facts, room), *after])


def table(facts: Facts, room: int) -> list[str]:
    """The steps' rows, as many as there is room for."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|:--" * len(HEADINGS) + "|"]
    room -= sum(len(line) + 1 for line in lines) + 100
    for number, step in enumerate(facts.steps):
        line = f"| {f'{SPACE} | '.join(cells(step))} |"
        room -= len(line) + 1
        if room < 0:
            left = f"… and {len(facts.steps) - number} more: see workflow.html"
            return [*lines, f"| {left} |{' |' * (len(HEADINGS) - 1)}"]
        lines.append(line)
    return lines


def cells(step: StepFacts) -> tuple[str, ...]:
    """The row of one step."""
    return (
        escaped(step.node),
        step.state,
        f"[{step.run_id[:8]}]({run_page(step.experiment_id, step.run_id)})" if step.run_id else "",
        unbroken(duration(step.seconds)) if step.seconds else "",
        unbroken(escaped(metric_text(step))),
        escaped(cut(step.reason, LONGEST_REASON)),
    )


def closing(facts: Facts) -> list[str]:
    """Where the result and the rest is, the code, the data, and the command."""
    paragraphs = [results(facts), code(facts), data(facts), again(facts)]
    return [line for text in paragraphs if text for line in (text, "")]


def results(facts: Facts) -> str:
    """Links to the last step's outputs, to the models and to the page; none to what failed."""
    page = run_page(facts.experiment_id, facts.run_id, "artifacts/workflow.html")
    links, last = [f"[workflow.html]({page})"], facts.steps[-1]
    if last.run_id and last.digest:
        outputs = run_page(last.experiment_id, last.run_id, "artifacts")
        links.insert(0, f"[outputs of {escaped(last.step)}]({outputs})")
    links += list(model_links(facts))[:5]
    return f"See {', '.join(links)}"


def model_links(facts: Facts) -> Iterator[str]:
    """The logged models of the steps that are not one of many."""
    for step in facts.steps:
        if step.node == step.step:
            for model in step.models:
                yield f"[model of {escaped(step.step)}]({model_page(step.experiment_id, model)})"


def code(facts: Facts) -> str:
    """The commit and whether anything was changed since."""
    found = facts.code
    if not found.commit:
        return "Code: the project's files, without a git commit"
    where = f" of {escaped(found.url)}" if found.url else ""
    count = len(found.changes)
    changes = f"{count} uncommitted change{'s' * (count > 1)}"
    dirty = f", dirty: {changes} (code.patch)" if found.dirty else ", clean"
    return f"Code: commit {span(found.commit[:12])}{where}{dirty}"


def data(facts: Facts) -> str:
    """The files outside the workflow that were read, with their digests."""
    found = data_digests(facts)
    shown = [f"{escaped(name)} {span(digest)}" for name, digest in list(found.items())[:8]]
    more = [f"{len(found) - 8} more"] if len(found) > 8 else []
    return f"Data (sha256): {', '.join([*shown, *more])}" if shown else ""


def data_digests(facts: Facts) -> dict[str, str]:
    """Parameter, or file in the folder it names → beginning of the sha256."""
    found: dict[str, str] = {}
    for step in facts.steps:
        for name, digest in step.identity.get("data", {}).items():
            parameter, slash, file = name.partition("/")
            place = step.parameters.get(parameter, parameter)
            found[f"{place}{slash}{file}"] = str(digest)
    return found


def again(facts: Facts) -> str:
    """The command that repeats exactly this; too long a one is in workflow.json."""
    if len(facts.command) > LONGEST_COMMAND:
        return "Again: the command is in workflow.json"
    return f"Again: {span(facts.command)}"


def metric_text(step: StepFacts) -> str:
    """`cv_accuracy_mean 0.7912`."""
    value = step.metrics.get(step.main_metric) if step.main_metric else None
    return f"{step.main_metric} {value:.4g}" if value is not None else ""


def cut(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def unbroken(text: str) -> str:
    """A cell that stays on one line."""
    return text.replace(" ", "&nbsp;")


def escaped(text: str) -> str:
    """Text on one line that Markdown and HTML show as it is."""
    shown = "".join(MARKS.get(c) or ENTITIES.get(c) or c for c in text)
    return " ".join(shown.split())


def span(text: str) -> str:
    """Text as code, on one line, shown as it is: between more backticks than it holds in a row."""
    runs = re.findall("`+", text)
    fence = "`" * (max(map(len, runs), default=0) + 1)
    return f"{fence} {' '.join(text.split())} {fence}"
