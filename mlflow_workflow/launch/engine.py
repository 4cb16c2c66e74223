"""What every engine promises: jobs are handed over, looked at, cancelled and read, many at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlflow_workflow.project.graph import Step


@dataclass(frozen=True)
class Job:
    """One execution of a step, in the run that was created for it.

    `parameters` are as the step gets them: what comes from upstream is a local folder already.
    """

    run_id: str
    step: Step
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """How a job ended: `failure` in words, None if its process ended with exit code 0."""

    run_id: str
    failure: str | None
    seconds: float


class Engine(Protocol):
    """Runs jobs, each in processes of its own. None of these waits for a job.

    An engine is made with a function `notify`, which it calls, from any thread, whenever there may be
    something new to look at.
    """

    def submit(self, jobs: Iterable[Job]) -> None:
        """Starts these soon. A run may be submitted again once it was told as ended."""

    def look(self) -> Sequence[Ended]:
        """The jobs that ended since the last look: each one is told exactly once."""

    def cancel(self, run_ids: Iterable[str]) -> None:
        """Ends these, also what was just being started. They are told as ended like all others."""

    def log(self, run_id: str) -> Path:
        """The file with what a job printed so far; it may not exist yet."""

    def last_lines(self, run_id: str) -> list[str]:
        """The end of the log, without empty lines."""

    def close(self) -> None:
        """Lets go of all: what still runs on this machine ends."""


class MakeEngine(Protocol):
    """Makes the engine of an invocation: see Engine."""

    def __call__(
        self,
        project: Path,
        experiment_id: str,
        folder: Path,
        *,
        notify: Callable[[], None],
        variables: Callable[[Job], Mapping[str, str]],
    ) -> Engine:
        """The engine; `folder` is a temporary one."""
