"""`mlflow-workflow steps`"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mlflow_workflow.checks.script import described, look
from mlflow_workflow.commands.refusal import told
from mlflow_workflow.identity.sources import Sources
from mlflow_workflow.project.drawing import in_order, mermaid, staircase
from mlflow_workflow.project.graph import Step, Workflow
from mlflow_workflow.project.mlproject import open_workflow


@click.command()
@click.option(
    "--graph",
    is_flag=False,
    flag_value="terminal",
    type=click.Choice(["terminal", "mermaid"]),
    help="Only draw what reads what: for the terminal, or as Mermaid text.",
)
@told
def steps(graph: str | None) -> None:
    """List the steps of the project here: what each reads, and its parameters."""
    project = Path.cwd()
    workflow = open_workflow(project)
    lines = mermaid(workflow) if graph == "mermaid" else staircase(workflow)
    click.echo("\n".join(lines if graph else [*lines, *paragraphs(project, workflow)]))


def paragraphs(project: Path, workflow: Workflow) -> Iterator[str]:
    """The lines about each step."""
    sources = look(project)
    for name in in_order(workflow):
        yield from ["", *about(sources, workflow.steps[name])]


def about(sources: Sources, step: Step) -> Iterator[str]:
    """What a step does and reads, and a line for each parameter: its type, default, and what it does."""
    sentence, helps = described(sources, step)
    yield f"{step.name}: {sentence}" if sentence else step.name
    if step.upstream:
        yield f"  reads {', '.join(step.upstream)}"
    rows = [
        (p.name, p.type, "required" if p.default is None else p.default or "''", helps.get(p.name, ""))
        for p in step.own_parameters.values()
    ]
    yield from (f"  {line}" for line in aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with their cells below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
