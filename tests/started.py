"""Orchestrators that were started and not yet waited for, and what they do to the store meanwhile."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.conftest import Done, Project

LONG = 90.0
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every step has a new Python")


@dataclass
class Started:
    """A process in a session of its own, its output in a file."""

    process: subprocess.Popen[bytes]
    output: Path
    found: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def main(self) -> psutil.Process:
        """The orchestrator, which `mlflow run` may have started."""
        return next(p for p in self.family() if "main.py" in words_of(p)[1:2])

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        return [p := psutil.Process(self.process.pid), *p.children(recursive=True)]

    def remember_family(self) -> None:
        """So that it can be told later whether they are all gone."""
        self.found |= {process.pid: process for process in self.family()}

    def survivors(self) -> list[str]:
        return [" ".join(words) for p in self.found.values() if lives(p) and (words := words_of(p))]

    def wait(self, seconds: float = LONG) -> Done:
        return Done(self.process.wait(seconds), self.text)

    def says(self, words: str) -> bool:
        return words in self.text or self.process.poll() is not None


def words_of(process: psutil.Process) -> list[str]:
    """The command of a process; none if it has just ended."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def supervisors(main: psutil.Process) -> list[psutil.Process]:
    """There is one for every step that runs: the parent of a process that leads a session of its own."""
    found = []
    for process in main.children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            if any(os.getsid(child.pid) == child.pid for child in process.children()):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(true: Callable[[], object], what: str, seconds: float = LONG) -> None:
    """Raises TimeoutError naming what never came."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.01)


@contextlib.contextmanager
def starting(
    project: Project, *arguments: str, name: str = "one", variables: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """`python main.py …`, or another command if its first word is no parameter; killed at the end."""
    command = [sys.executable, "main.py"] if arguments[:1] != ("mlflow",) else []
    output = project.folder.with_name(f"{name}.out")
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=project.folder,
            env={**project.environment(), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Started(process, output)
    try:
        yield started
    finally:
        with contextlib.suppress(psutil.Error):
            started.remember_family()
        for left in started.found.values():
            with contextlib.suppress(psutil.Error):
                left.send_signal(signal.SIGCONT)
                left.kill()
        process.wait()


@dataclass(frozen=True)
class Gate:
    """The folder by which a `hold` step is held."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        self.folder.mkdir(exist_ok=True)
        return {"GATE": str(self.folder)}

    @property
    def step(self) -> psutil.Process:
        return self.process(0)

    @property
    def child(self) -> psutil.Process:
        return self.process(1)

    def process(self, index: int) -> psutil.Process:
        return psutil.Process(int((self.folder / "computes").read_text().split()[index]))

    def wait(self) -> None:
        wait_until((self.folder / "computes").exists, "a held step")

    def open(self) -> None:
        (self.folder / "go").touch()


def rows(project: Project, query: str, *values: str) -> list[tuple[str, ...]]:
    """What the store's tables hold now; quicker than asking MLflow, and no process's cache."""
    file = project.uri.removeprefix("sqlite:///")
    # Not read-only: whoever reads first after a writer was killed must be able to roll its journal back.
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=20)) as store:
        return store.execute(query, values).fetchall()


def hold_run(project: Project, number: int) -> str | None:
    """The newest run of `hold` with this number, as soon as it is there."""
    query = """select r.run_uuid from runs r join params p on p.run_uuid = r.run_uuid
        join tags t on t.run_uuid = r.run_uuid where p.key = 'number' and p.value = ? and
        t.key = 'workflow.step' and t.value = 'hold' order by r.start_time desc"""
    found = rows(project, query, str(number))
    return found[0][0] if found else None


def status_of(project: Project, run_id: str) -> str:
    return rows(project, "select status from runs where run_uuid = ?", run_id)[0][0]


def artifacts_of(project: Project, run_id: str) -> Path:
    uri = rows(project, "select artifact_uri from runs where run_uuid = ?", run_id)[0][0]
    return Path(uri.removeprefix("file://"))


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every process that works for a run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("MLFLOW_RUN_ID") == run_id and process.pid != os.getpid():
                found.append(process)
    return [process for process in found if lives(process)]


def left_open(project: Project) -> list[str]:
    """Runs that are RUNNING, not counting deleted ones."""
    query = "select run_uuid from runs where lifecycle_stage = 'active' and status = 'RUNNING'"
    return [row[0] for row in rows(project, query)]
