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
from mlflow import projects
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.processes import end_processes_of
from mlflow_workflow.identity.environment import look_again
from mlflow_workflow.launch.warm.fork_server import ForkServer
from mlflow_workflow.project.graph import Step

HERE = Path(__file__).parent
ADDRESS = "fork-server"


@dataclass(frozen=True)
class Launcher:
    """Where steps run: the project, the experiment, and a temporary folder for logs and downloads.

    `fork_server`, if there is one, saves them the import of their packages.
    """

    project: Path
    experiment_id: str
    folder: Path
    fork_server: ForkServer | None = None

    def log_of(self, run_id: str) -> Path:
        """The file that a step's output goes to."""
        return self.folder / f"{run_id}.log"

    def launch(self, step: Step, parameters: Mapping[str, str], run_id: str) -> str | None:
        """Runs a step to its end in the run that was created for it.

        Returns:
            None if its process ended with exit code 0, else how it failed, in words.
        """
        for end in ("pid", "exit", "timeout"):
            self.file(run_id, end).unlink(missing_ok=True)
        look_again()
        if self.fork_server:
            self.fork_server.prepare(self.folder / ADDRESS)
        timer = threading.Timer(step.timeout or 0, self.stop, [run_id, "timeout"])
        timer.daemon = True
        if step.timeout:
            timer.start()
        started, problem = time.monotonic(), "no process of it was started"
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
        except (MlflowException, OSError) as error:
            problem = str(error)
        finally:
            timer.cancel()
            end_processes_of(run_id)
            look_again()
        return self.failure(step, run_id, time.monotonic() - started, problem)

    def failure(self, step: Step, run_id: str, seconds: float, problem: str) -> str | None:
        """How a step failed; None if it did not.

        The supervisor tells: MLflow itself also says "failed" if the tracking server is away just then.
        """
        exit_file = self.file(run_id, "exit")
        code = int(exit_file.read_text()) if exit_file.exists() else None
        if code == 0:
            return None
        if step.timeout and seconds >= step.timeout:
            return f"took longer than its timeout of {step.timeout:g} s"
        if code is not None:
            return f"failed, {exit_in_words(code)}"
        if self.file(run_id, "pid").exists():
            return "failed, it was killed"
        return f"could not be started: {problem}"

    def stop(self, run_id: str, why: str = "stop") -> None:
        """Ends a step's processes, also those of a step that is just being started."""
        with contextlib.suppress(OSError):
            self.file(run_id, why).touch()
        file = self.file(run_id, "pid")
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            pid = int(file.read_text())
            if psutil.Process(pid).environ().get("MLFLOW_RUN_ID") == run_id:
                os.kill(pid, signal.SIGTERM)

    def file(self, run_id: str, end: str) -> Path:
        """What the supervisor and we tell each other: `pid`, `exit` code; `stop`, `timeout`."""
        return self.folder / f"{run_id}.{end}"

    def last_lines(self, run_id: str, most: int = 12) -> list[str]:
        """The end of a step's log, without empty lines."""
        file = self.log_of(run_id)
        if not file.exists():
            return []
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 20_000))
            text = log.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-most:]


def exit_in_words(code: int) -> str:
    """`exit code 3`, or `killed by SIGKILL` as a shell tells it."""
    try:
        return f"killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"exit code {code}"


@contextlib.contextmanager
def step_environment(folder: Path) -> Iterator[None]:
    """The environment variables that steps inherit; put back afterwards.

    The running interpreter's folder is first on PATH, so that `python` in a command is this one. An
    experiment name beside the id that MLflow sets would be refused. Temporary files go where they
    are removed even if the step is killed. What a step prints is in its log at once.
    """
    before = dict(os.environ)
    python = Path(sys.executable).parent
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    os.environ.update(
        BASH_ENV=str(HERE / "launch.sh"),
        WORKFLOW_BASH_ENV=before.get("BASH_ENV", ""),
        WORKFLOW_PYTHON=sys.executable,
        WORKFLOW_SUPERVISOR=str(HERE / "supervisor.py"),
        WORKFLOW_LOGS=str(folder),
        WORKFLOW_FORK_SERVER=str(folder / ADDRESS),
        WORKFLOW_PID=str(os.getpid()),
        TMPDIR=str(temporary),
        PYTHONUNBUFFERED=before.get("PYTHONUNBUFFERED", "1"),
        PATH=f"{python}{os.pathsep}{before.get('PATH', os.defpath)}",
    )
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)
    try:
        yield
    finally:
        # Never without those that stay: the heart still beats, with the password from there.
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
