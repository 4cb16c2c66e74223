"""The workflow with one part replaced: a step runs in this process instead of one of its own.

Everything else is real: git, the tracking store, the outputs, the orchestrator's own loop.
"""

import contextlib
import importlib
import io
import os
import runpy
import shlex
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlflow

from mlflow_workflow import step as step_module
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.notes import RECORDER
from mlflow_workflow.launch.calls import command_of
from mlflow_workflow.launch.engine import Ended, Job
from mlflow_workflow.launch.logs import last_lines
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.request import make_request
from mlflow_workflow.run import session
from mlflow_workflow.run.command_line import parse
from tests.conftest import ROOT, Done, Project, new_project

sys.path.append(str(RECORDER))
Recorder = importlib.import_module("workflow_recorder").Recorder
sys.path.remove(str(RECORDER))


class InProcess:
    """An engine that runs steps in this process, one after the other, when it is looked at.

    What is executed is the job's command, from the source as it is then.
    """

    def __init__(
        self,
        project: Path,
        experiment_id: str,
        folder: Path,
        *,
        notify: Callable[[], None],
        variables: Callable[[Job], Mapping[str, str]],
    ) -> None:
        self.project, self.folder, self.notify, self.variables = project, folder, notify, variables
        self.jobs: list[Job] = []

    def submit(self, jobs: Iterable[Job]) -> None:
        self.jobs += jobs
        self.notify()

    def look(self) -> Sequence[Ended]:
        if not self.jobs:
            return ()
        job, began = self.jobs.pop(0), time.monotonic()
        self.notify()
        words = shlex.split(command_of(job, self.folder))
        with self.log(job.run_id).open("a") as log, log_on(log), ThreadPoolExecutor(1) as own_thread:
            # To MLflow, the parent's run is the active one of this thread.
            seen = own_thread.submit(
                noting, self.variables(job), execute, self.project, words, job.run_id
            )
            code = seen.result()
        return [Ended(job.run_id, "failed" if code else None, time.monotonic() - began)]

    def cancel(self, run_ids: Iterable[str]) -> None:
        """A step of this process ends by itself."""

    def log(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.log"

    def last_lines(self, run_id: str) -> list[str]:
        return last_lines(self.log(run_id))

    def close(self) -> None:
        """Nothing runs."""


RECORDERS: dict[int, Any] = {}
"""Thread in which a step runs → what notes what it reads."""


def note(event: str, arguments: tuple[Any, ...]) -> None:
    recorder = RECORDERS.get(threading.get_ident())
    if recorder:
        recorder.hook(event, arguments)


sys.addaudithook(note)


def noting(variables: Mapping[str, str], work: Callable[..., int], *given: Any) -> int:
    """Does a step's work in this thread, with the notes that a process of its own would make."""
    recorder = Recorder(f"{variables['WORKFLOW_RECORD']}/", variables["WORKFLOW_TOP"])
    recorder.note("s", "in process")
    RECORDERS[threading.get_ident()] = recorder
    try:
        return work(*given)
    finally:
        del RECORDERS[threading.get_ident()]


workflow_of = lru_cache(maxsize=100)(read_workflow)


def execute(project: Path, words: list[str], run_id: str) -> int:
    """Runs `python -m module …`; returns the exit code that a process would have."""
    assert words[:2] == ["python", "-m"], words
    with as_a_new_process(project, words, run_id):
        try:
            if words[2] == "mlflow_workflow.step":
                return step_module.main(words[3:])
            runpy.run_module(words[2], run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            return 1
    return 0


@contextlib.contextmanager
def as_a_new_process(project: Path, words: list[str], run_id: str) -> Iterator[None]:
    """Folder, arguments, run and project modules as a process of its own would have them."""
    before = Path.cwd(), sys.argv, sys.path, sys.dont_write_bytecode
    others = {name: module for name, module in sys.modules.items() if is_project_module(name)}
    os.chdir(project)
    # This repository has a folder `steps` too, which must not be found.
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    sys.argv, sys.path = [words[2], *words[3:]], [str(project), *elsewhere]
    os.environ["MLFLOW_RUN_ID"] = run_id
    sys.dont_write_bytecode = True
    forget_project_modules()
    try:
        yield
    finally:
        forget_project_modules()
        sys.modules.update(others)
        os.chdir(before[0])
        sys.argv, sys.path, sys.dont_write_bytecode = before[1:]
        os.environ.pop("MLFLOW_RUN_ID", None)


def is_project_module(name: str) -> bool:
    return name.partition(".")[0] in ("steps", "helpers")


def forget_project_modules() -> None:
    """So that the next import reads the source again."""
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if is_project_module(name)]:
        del sys.modules[name]


@contextlib.contextmanager
def log_on(log: io.TextIOBase) -> Iterator[None]:
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


@contextlib.contextmanager
def environment_of(project: Project) -> Iterator[None]:
    """The environment that a process of the project would get."""
    before, uri = dict(os.environ), mlflow.get_tracking_uri()
    os.environ.clear()
    os.environ.update(project.environment())
    mlflow.set_tracking_uri(project.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(uri)
        os.environ.clear()
        os.environ.update(before)


def run(project: Project, *arguments: str) -> Done:
    """`python main.py …`, with the steps in this process, one after the other."""
    text = io.StringIO()
    with environment_of(project), contextlib.redirect_stdout(text):
        try:
            workflow = workflow_of((project.folder / "MLproject").read_text())
            request = make_request(
                project.folder, workflow, parse(workflow, [*arguments, "--jobs", "1"]) or {}
            )
        except WorkflowError as error:
            return Done(session.BAD_REQUEST, f"Error: {error}")
        code = session.run_request(project.folder, request, InProcess)
    return Done(code, text.getvalue())


def quick_project(folder: Path, empty_store: Path) -> Project:
    """The example with a store that need not survive a power cut: commits are many times faster."""
    project = new_project(folder, empty_store)
    with contextlib.closing(sqlite3.connect(project.uri.removeprefix("sqlite:///"))) as store:
        store.execute("pragma journal_mode = wal")
    return project
