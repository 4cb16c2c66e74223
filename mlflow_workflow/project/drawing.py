"""The graph of the steps as text: for a terminal, and for Mermaid."""

from collections.abc import Sequence

from mlflow_workflow.project.graph import Workflow


def staircase(workflow: Workflow) -> list[str]:
    """A row for each step, upstream first, and a column; a dot means: the column's reads the row's.

    prepare ─●────●
             fit ─●
                  report
    """
    names, columns, at = in_order(workflow), [], 0
    for name in names:
        columns.append(at)
        at += len(name) + 2
    reads = [[row in workflow.steps[name].upstream for name in names] for row in names]
    return [row_of(names, columns, reads, number) for number in range(len(names))]


def row_of(
    names: Sequence[str], columns: Sequence[int], reads: Sequence[Sequence[bool]], row: int
) -> str:
    """One row: its name, then a line as far as the last step that reads it."""
    last = max((column for column, there in enumerate(reads[row]) if there), default=row)
    text = " " * columns[row] + names[row] + " "
    for column in range(row + 1, len(names)):
        fed = any(reads[above][column] for above in range(row))
        mark = "●" if reads[row][column] else crossing(fed, column < last)
        text = text.ljust(columns[column], "─" if column <= last else " ") + mark
    return text.rstrip()


def crossing(down: bool, along: bool) -> str:
    """What stands where a column's line, if any, meets a row's, if any."""
    return {(True, True): "┼", (True, False): "│", (False, True): "─"}.get((down, along), " ")


def mermaid(workflow: Workflow) -> list[str]:
    """The graph in Mermaid's words; names are quoted, since a step may be called `end`."""
    numbers = {name: number for number, name in enumerate(in_order(workflow))}
    lines = [f'  s{number}["{name}"]' for name, number in numbers.items()]
    arrows = [
        f"  s{numbers[above]} --> s{number}"
        for name, number in numbers.items()
        for above in workflow.steps[name].upstream
    ]
    return ["flowchart LR", *lines, *arrows]


def in_order(workflow: Workflow) -> list[str]:
    """All steps, upstream first, otherwise as MLproject has them."""
    return list(dict.fromkeys(name for task in workflow.steps for name in workflow.order(task)))
