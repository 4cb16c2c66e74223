"""Whole processes, timed from outside by the operating system's own accounting."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = 5


@dataclass(frozen=True)
class Cost:
    """Wall seconds, the peak memory of the process itself in MiB, and what it printed."""

    seconds: float
    memory: float
    printed: str = ""


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Cost:
    """Runs a command to its end. Raises RuntimeError with its output if it fails."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # would time the compiler
    python = Path(sys.executable).parent
    environment["PATH"] = f"{python}{os.pathsep}{environment['PATH']}"
    # Not in the folder: a file that comes and goes there would be a change of the project's code.
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        log.seek(0)
        printed = log.read()
        if status:
            raise RuntimeError(f"{command} failed:\n{printed}")
    return Cost(seconds, usage.ru_maxrss / 1024, printed)


@dataclass(frozen=True)
class Comparison:
    """Medians of ours and of the yardstick, run in alternation, and the most that is allowed."""

    name: str
    ours: float
    yardstick: float
    unit: str
    most: float

    @property
    def ratio(self) -> float:
        """How many times the yardstick ours is."""
        return self.ours / self.yardstick

    def row(self) -> str:
        """A line of the table."""
        values = f"{self.ours:8.2f} {self.unit:3}  {self.yardstick:8.2f} {self.unit:3}"
        return f"{self.name:44}  {values}  {self.ratio:5.2f} x  (at most {self.most:.2f} x)"


def alternate(
    ours: Callable[[], Cost], yardstick: Callable[[], Cost], runs: int = RUNS
) -> tuple[Cost, Cost]:
    """The medians of both, after one warm-up each, run A B A B … so that drift hits both alike."""
    ours(), yardstick()
    pairs = [(ours(), yardstick()) for _ in range(runs)]
    return median([a for a, _ in pairs]), median([b for _, b in pairs])


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    seconds = statistics.median(cost.seconds for cost in costs)
    return Cost(seconds, statistics.median(cost.memory for cost in costs))
