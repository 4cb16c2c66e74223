"""One table for terminal, description and pages: its cells are made once, a style only formats them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlflow_workflow.basics.shown import shown

MARKS = {"\\": "\\\\", **{mark: f"\\{mark}" for mark in "*_{}[]#~"}}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
SPACE = "&emsp;"
"""MLflow's tables have no space between columns."""
LONGEST_CELL = 300
NARROWEST, WIDEST = 24, 48

Paint = Callable[[str, str], str]
"""Colours a text after a state."""


@dataclass(frozen=True)
class Cell:
    """`kind`: number, wrap, code, run, or `state` and which, for pages; `link` is one of the UI."""

    text: str
    kind: str = ""
    link: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows under headings; only the cells of the last column may be cut or broken."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def run_cell(run_id: str | None, link: str | None) -> Cell:
    """The digits of a run that find it."""
    return Cell(run_id[:8], "run", link) if run_id else Cell("")


def state_cell(state: str, text: str | None = None) -> Cell:
    """A word in the colour of a state."""
    return Cell(text or state, f"state {state}")


def as_text(table: Table, width: int | None = None, paint: Paint | None = None) -> str:
    """Aligned columns for the terminal, with an empty line above; cut to a width if there is one."""
    rows = [[cut(shown(cell.text), None) or "-" for cell in row] for row in table.rows]
    lines = [[*table.headings], *rows]
    if width:
        lines = [[*(cut(text, WIDEST) for text in line[:-1]), line[-1]] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    room = max(width - sum(widths) - 2 * len(widths), NARROWEST) if width else None
    padded = [
        "  ".join(
            [*(c.ljust(w) for c, w in zip(line, widths, strict=False)), cut(line[-1], room)]
        ).rstrip()
        for line in lines
    ]
    states = [state_of(row) for row in table.rows]
    colour = paint or (lambda _state, text: text)
    return "\n".join(["", padded[0], *(colour(s, t) for s, t in zip(states, padded[1:], strict=True))])


def state_of(row: Sequence[Cell]) -> str:
    """The state that a row tells, if any."""
    return next((c.kind.removeprefix("state ") for c in row if c.kind.startswith("state ")), "")


def as_markdown(table: Table, room: int) -> list[str]:
    """The lines of a Markdown table, as many rows as there is room for."""
    lines = [f"| {' | '.join(table.headings)} |", "|:--" * len(table.headings) + "|"]
    room -= sum(len(line) + 1 for line in lines) + 100
    for number, row in enumerate(table.rows):
        cells = [*map(markdown, row[:-1]), escaped(cut(row[-1].text, LONGEST_CELL))]
        line = f"| {f'{SPACE} | '.join(cells)} |"
        room -= len(line) + 1
        if room < 0:
            left = f"… and {len(table.rows) - number} more: see workflow.html"
            return [*lines, f"| {left} |{' |' * (len(table.headings) - 1)}"]
        lines.append(line)
    return lines


def markdown(cell: Cell) -> str:
    """A cell that stays on one line."""
    text = escaped(cell.text).replace(" ", "&nbsp;")
    return f"[{text}]({cell.link})" if cell.link else text


def cut(text: str, length: int | None) -> str:
    """The text on one line, or its beginning and an ellipsis."""
    text = " ".join(text.split())
    return text if length is None or len(text) <= length else f"{text[: length - 1]}…"


def escaped(text: str) -> str:
    """Text on one line that Markdown and HTML show as it is."""
    marked = "".join(MARKS.get(c) or ENTITIES.get(c) or c for c in text)
    return " ".join(marked.split())


def span(text: str) -> str:
    """Text as code, on one line, shown as it is: between more backticks than it holds in a row."""
    runs = re.findall("`+", text)
    fence = "`" * (max(map(len, runs), default=0) + 1)
    return f"{fence} {' '.join(text.split())} {fence}"
