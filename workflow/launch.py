"""Starts a step's process through `mlflow.run`, keeps its log, and ends it when asked.

MLflow starts every local step with bash. BASH_ENV makes that bash hand the command to our supervisor,
which is how a step gets a log of its own and ends with the orchestrator, from any thread.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from workflow.graph import Step

HERE = Path(__file__).parent
STARTING = 10.0
"""Seconds that a stop waits for a process that is just being started."""


@dataclass(frozen=True)
class Launcher:
    """Where steps run: the project, the experiment, and a temporary folder for logs and downloads."""

    project: Path
    experiment_id: str
    folder: Path

    def log_of(self, run_id: str) -> Path:
        """The file that a step's output goes to."""
        return self.folder / f"{run_id}.log"

    def launch(self, step: Step, parameters: Mapping[str, str], run_id: str) -> str | None:
        """Runs a step to its end in the run that was created for it.

        Returns:
            None if its process ended with exit code 0, else how it failed, in words.
        """
        from mlflow import (
            projects,
        )  # a second's import that a workflow of reused steps does not need
        from mlflow.exceptions import MlflowException

        timer = threading.Timer(step.timeout or threading.TIMEOUT_MAX, self.stop, [run_id])
        timer.daemon = True
        if step.timeout:
            timer.start()
        started = time.monotonic()
        try:
            projects.run(  # type: ignore[no-untyped-call]
                uri=str(self.project),
                entry_point=step.name,
                parameters=dict(parameters),
                experiment_id=self.experiment_id,
                backend="local",
                backend_config={},
                env_manager="local",
                storage_dir=str(self.folder),
                run_id=run_id,
            )
        except MlflowException as error:
            return self.failure(step, run_id, time.monotonic() - started, error)
        finally:
            timer.cancel()
            end_processes_of(run_id)
        return None

    def failure(self, step: Step, run_id: str, seconds: float, error: Exception) -> str:
        """How a step failed."""
        if step.timeout and seconds >= step.timeout:
            return f"took longer than its timeout of {step.timeout:g} s"
        if not self.log_of(run_id).exists():
            return f"could not be started: {error}"
        return "failed"

    def stop(self, run_id: str) -> None:
        """Ends a step's processes."""
        until = time.monotonic() + STARTING
        while not (pid := self.supervisor(run_id)) and time.monotonic() < until:
            time.sleep(0.05)
        with contextlib.suppress(psutil.Error):
            if pid and run_id in psutil.Process(pid).environ().get("MLFLOW_RUN_ID", ""):
                os.kill(pid, signal.SIGTERM)

    def supervisor(self, run_id: str) -> int | None:
        """The process id of a step's supervisor, once there is one."""
        file = self.folder / f"{run_id}.pid"
        return int(file.read_text()) if file.exists() else None

    def last_lines(self, run_id: str, most: int = 12) -> list[str]:
        """The end of a step's log, without empty lines."""
        file = self.log_of(run_id)
        if not file.exists():
            return []
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 20_000))
            text = log.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-most:]


def end_processes_of(run_id: str) -> None:
    """Ends whatever a step left behind when its supervisor was killed too."""
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("MLFLOW_RUN_ID") == run_id:
                process.kill()


@contextlib.contextmanager
def step_environment(folder: Path) -> Iterator[None]:
    """The environment variables that steps inherit; put back afterwards.

    The running interpreter's folder is first on PATH, so that `python` in a command is this one. An
    experiment name beside the id that MLflow sets would be refused.
    """
    before = dict(os.environ)
    python = Path(sys.executable).parent
    os.environ.update(
        BASH_ENV=str(HERE / "launch.sh"),
        WORKFLOW_BASH_ENV=before.get("BASH_ENV", ""),
        WORKFLOW_PYTHON=sys.executable,
        WORKFLOW_SUPERVISOR=str(HERE / "supervisor.py"),
        WORKFLOW_LOGS=str(folder),
        WORKFLOW_PID=str(os.getpid()),
        PATH=f"{python}{os.pathsep}{before.get('PATH', os.defpath)}",
    )
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
