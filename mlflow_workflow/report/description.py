"""The parent run's description: Markdown that MLflow's page of the run shows first."""

from collections.abc import Iterator

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.report.facts import Facts
from mlflow_workflow.report.highlights import shown_on_parent
from mlflow_workflow.report.links import model_page, run_page
from mlflow_workflow.report.rows import date, metric_text, steps_table
from mlflow_workflow.report.table import as_markdown, escaped, span

LONGEST = 7_900
"""Characters; MLflow cuts a tag at 8,000."""
LONGEST_COMMAND = 2_000
MOST_STEPS, MOST_FILES = 5, 8


def description(facts: Facts) -> str:
    """What happened, the metric and the time, for MLflow shows three lines; then all the rest.

    Of a sweep too long for a tag the first rows are shown; the page holds the others.
    """
    before = [f"**{escaped(facts.headline)}**", "", result_line(facts), ""]
    before += [f"## {escaped(facts.description[:1_000])}", ""] if facts.description else []
    after = ["", *closing(facts)]
    room = LONGEST - sum(len(line) + 1 for line in [*before, *after])
    return "\n".join([*before, *as_markdown(steps_table(facts, date), room), *after])


def result_line(facts: Facts) -> str:
    """`train: **cv_accuracy_mean 0.7049** · took 12 s`."""
    found = [step for step in shown_on_parent(facts).values() if metric_text(step)]
    asked = facts.settings.get("metric", "").removeprefix("-")
    # The metric that was asked for says more than what the last step counts.
    best = next((step for step in found if step.main_metric == asked), found[-1] if found else None)
    metric = f"{escaped(best.node)}: **{escaped(metric_text(best))}** · " if best else ""
    return f"{metric}took {duration(facts.seconds)}"


def closing(facts: Facts) -> list[str]:
    """Where the result and the rest is, the code, the data, and the command that repeats this."""
    # Too long a command is in workflow.json.
    command = span(facts.command) if len(facts.command) <= LONGEST_COMMAND else "see workflow.json"
    paragraphs = [f"See {', '.join(links(facts))}", code(facts), data(facts), f"Again: {command}"]
    return [line for text in paragraphs if text for line in (text, "")]


def links(facts: Facts) -> Iterator[str]:
    """Links to the last step's outputs, to the page and to the models; none to what failed."""
    last = facts.steps[-1]
    if last.run_id and last.digest:
        outputs = run_page(last.experiment_id, last.run_id, "artifacts")
        yield f"[outputs of {escaped(last.step)}]({outputs})"
    yield f"[workflow.html]({run_page(facts.experiment_id, facts.run_id, 'artifacts/workflow.html')})"
    for step in facts.steps[:MOST_STEPS]:
        for model in step.models:
            yield f"[model of {escaped(step.node)}]({model_page(step.experiment_id, model)})"


def code(facts: Facts) -> str:
    """The commit and whether anything was changed since."""
    found = facts.code
    if not found.commit:
        return "Code: the project's files, without a git commit"
    where = f" of {escaped(found.url)}" if found.url else ""
    count = len(found.changes)
    dirty = f", {count} uncommitted change{'s' * (count > 1)} (code.patch)" if found.dirty else ""
    return f"Code: commit {span(found.commit[:12])}{where}{dirty or ', clean'}"


def data(facts: Facts) -> str:
    """The files outside the workflow that were read, with their digests."""
    found = data_digests(facts)
    shown = [f"{escaped(name)} {span(digest)}" for name, digest in list(found.items())[:MOST_FILES]]
    shown += [f"{len(found) - MOST_FILES} more"] if len(found) > MOST_FILES else []
    return f"Data (sha256): {', '.join(shown)}" if shown else ""


def data_digests(facts: Facts) -> dict[str, str]:
    """Parameter, or file in the folder it names → beginning of the sha256."""
    found: dict[str, str] = {}
    for step in facts.steps:
        for name, digest in step.identity.get("data", {}).items():
            parameter, slash, file = name.partition("/")
            place = step.parameters.get(parameter, parameter)
            found[f"{place}{slash}{file}"] = str(digest)
    return found
