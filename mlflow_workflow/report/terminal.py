"""What people see while the workflow runs: a line for each event and, on a terminal, live progress.

Where the output is no terminal (a pipe, a file, CI) there is no colour and nothing moves. NO_COLOR
takes the colour alone away.
"""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.basics.shown import shown
from mlflow_workflow.report.outcome import State

TICK = 0.5
BAR = 24
MOST_LINES = 8
COLOURS: dict[str, str] = {
    State.RAN: "green",
    State.REUSED: "cyan",
    State.PINNED: "blue",
    State.FAILED: "red",
    State.SKIPPED: "yellow",
    State.RUN: "green",
    State.DEPENDS: "yellow",
}


@dataclass(frozen=True)
class Running:
    """A step that is running: for how long, how long it took lately (0: never), and its log."""

    node: str
    seconds: float
    expected: float
    log: Path


@dataclass(frozen=True)
class Progress:
    """How many of the steps are done, and those that are running."""

    done: int
    total: int
    running: Sequence[Running]


@dataclass
class Terminal:
    """The output of one invocation; `quiet` leaves results and errors, `verbose` adds the steps' own."""

    quiet: bool = False
    verbose: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    drawn: int = 0
    read: dict[Path, int] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Can lines be drawn again?"""
        return is_able() and not self.quiet

    @property
    def colours(self) -> bool:
        """Is colour welcome?"""
        return is_able() and not os.environ.get("NO_COLOR")

    def say(self, line: str) -> None:
        """A line, whatever the user asked for, at once."""
        self.write(shown(line))

    def write(self, text: str) -> None:
        """As `say`, for text that is styled already."""
        with self.lock:
            self.erase()
            write(f"{text}\n", self.colours)

    def tell(self, line: str) -> None:
        """A line for an event."""
        if not self.quiet:
            name, colon, rest = shown(line).partition(": ")
            self.write(f"{self.styled(name, bold=True)}{colon}{rest}" if colon else name)

    def paint(self, state: str, text: str) -> str:
        """A row of the table in the colour of its state."""
        return self.styled(text, fg=COLOURS.get(state))

    def styled(self, text: str, fg: str | None = None, bold: bool = False) -> str:
        """Text in colour, or bold, where that is welcome."""
        return click.style(text, fg=fg, bold=bold or None) if self.colours else text

    # -- while steps run

    @contextlib.contextmanager
    def watching(self, progress: Callable[[], Progress]) -> Iterator[None]:
        """Shows the progress, and with `verbose` what the steps print, while the block lasts."""
        if not self.moves and not self.verbose:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self.watch, args=(progress, over), name="terminal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)
            with self.lock:
                self.erase()

    def watch(self, progress: Callable[[], Progress], over: threading.Event) -> None:
        """Draws until it is over, and then looks once more for what steps printed last."""
        logs: dict[Path, str] = {}
        while not over.wait(TICK):
            now = progress()
            logs |= {step.log: step.node for step in now.running}
            self.show_logs(logs)
            if self.moves:
                self.draw(lines(now, shutil.get_terminal_size().columns))
        self.show_logs(logs)

    def show_logs(self, logs: dict[Path, str]) -> None:
        """What the steps have printed since the last look, if the user wants it."""
        for log, node in logs.items() if self.verbose else ():
            for line in self.new_lines(log):
                self.write(f"{self.styled(node, fg='cyan')} | {shown(line)}")

    def new_lines(self, log: Path) -> list[str]:
        """The whole lines that a log has more than at the last look."""
        try:
            with log.open("rb") as file:
                file.seek(self.read.get(log, 0))
                text, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self.read[log] = self.read.get(log, 0) + len(text + newline)
        return text.decode(errors="replace").splitlines()

    def draw(self, drawn: Sequence[str]) -> None:
        """Lines at the bottom that the next ones replace."""
        with self.lock:
            self.erase()
            if drawn:
                lines = "\n".join(self.styled(line, fg="bright_black") for line in drawn)
                write(f"{lines}\n", self.colours)
            self.drawn = len(drawn)

    def erase(self) -> None:
        """Takes the drawn lines away."""
        if self.drawn:
            write(f"\x1b[{self.drawn}F\x1b[J", True)
            self.drawn = 0


def say(line: str) -> None:
    """A line on the terminal, at once, without anything in it that a terminal obeys."""
    write(f"{shown(line)}\n")


def write(text: str, color: bool | None = None) -> None:
    """Text on the terminal as it is. If nobody reads it any more, that is no reason to end."""
    try:
        click.echo(text, nl=False, color=color)
    except OSError:
        give_output_up()


def give_output_up() -> None:
    """What is still to be written is lost; or the interpreter would complain of it at its exit."""
    with contextlib.suppress(OSError):  # what is no file needs none of this
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, sys.stdout.fileno())
        os.close(nobody)


def open_closed_streams() -> None:
    """Where a standard stream is closed (`>&-`), the next file that is opened would be taken for it."""
    while (nobody := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(nobody, True)
    os.close(nobody)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def is_able() -> bool:
    """Is the output a terminal that knows colours, and to move?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """The columns to which a row is cut; None where it is kept or searched, and must be whole."""
    return shutil.get_terminal_size().columns if is_able() else None


def lines(progress: Progress, columns: int) -> list[str]:
    """`train  12 s of about 15 s` for every step that runs, and a bar for the whole if it is long."""
    drawn = []
    for step in progress.running[:MOST_LINES]:
        usual = f" of about {duration(step.expected)}" if step.expected else ""
        drawn.append(f"  {shown(step.node)}  {duration(step.seconds)}{usual}")
    more, total = len(progress.running) - MOST_LINES, progress.total
    drawn += [f"  and {more} more"] if more > 0 else []
    if total > 3:
        full = BAR * progress.done // total
        drawn.append(f"  [{'#' * full}{'-' * (BAR - full)}] {progress.done} of {total} steps")
    return [line[: columns - 1] for line in drawn]
