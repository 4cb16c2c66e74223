"""The engine of this machine: every job is a new process under a supervisor of its own.

Two threads, however many jobs there are: one starts them, as MLflow writes to the tracking server when
it starts a step and that may take a while; the other waits for what the supervisors say.
"""

import contextlib
import queue
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow_workflow.basics.processes import end_processes_of
from mlflow_workflow.launch import calls, logs
from mlflow_workflow.launch.backend import start_through_mlflow
from mlflow_workflow.launch.calls import Call
from mlflow_workflow.launch.engine import Ended, Job
from mlflow_workflow.launch.local import supervisor
from mlflow_workflow.launch.warm.copies import Copies

NOT_STARTED = "no process of it was started"


@dataclass
class Running:
    """A job from its submission to its end. `ours` and `its` join us to its supervisor.

    It has a `call` once it is started: by us as `process`, or else it was asked for as a copy.
    """

    job: Job
    ours: socket.socket
    its: socket.socket
    began: float
    cancelled: bool = False
    call: Call | None = None
    process: subprocess.Popen[bytes] | None = None
    said: bytes = b""


class LocalEngine:
    """Runs the steps of a project on this machine, as Engine promises.

    `folder` is a temporary folder for logs, downloads and what steps write to TMPDIR. `variables` gives
    environment variables of a job beside the usual ones. `copies` saves steps the import of packages.
    """

    def __init__(
        self,
        project: Path,
        experiment_id: str,
        folder: Path,
        *,
        notify: Callable[[], None],
        variables: Callable[[Job], Mapping[str, str]] = lambda _job: {},
        copies: Copies | None = None,
    ) -> None:
        self.project, self.experiment_id, self.folder = project, experiment_id, folder
        self.notify, self.variables, self.copies = notify, variables, copies
        self.running: dict[str, Running] = {}
        self.waiting: queue.SimpleQueue[Running | None] = queue.SimpleQueue()
        self.over: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.selector = selectors.DefaultSelector()
        self.bell, its = socket.socketpair()
        self.selector.register(its, selectors.EVENT_READ)
        for work in (self.start_all, self.watch):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def submit(self, jobs: Iterable[Job]) -> None:  # noqa: D102 - Engine's
        for job in jobs:
            running = Running(job, *socket.socketpair(), time.monotonic())
            self.running[job.run_id] = running
            self.waiting.put(running)

    def look(self) -> Sequence[Ended]:  # noqa: D102 - Engine's
        return [self.over.get() for _ in range(self.over.qsize())]

    def cancel(self, run_ids: Iterable[str]) -> None:  # noqa: D102 - Engine's
        for running in filter(None, map(self.running.get, run_ids)):
            running.cancelled = True
            with contextlib.suppress(OSError):  # it has just ended
                running.ours.send(b"stop")

    def log(self, run_id: str) -> Path:  # noqa: D102 - Engine's
        return self.folder / f"{run_id}.log"

    def last_lines(self, run_id: str) -> list[str]:  # noqa: D102 - Engine's
        return logs.last_lines(self.log(run_id))

    def close(self) -> None:  # noqa: D102 - Engine's
        self.cancel(list(self.running))
        self.waiting.put(None)

    # -- what the two threads do

    def start_all(self) -> None:
        """Starts what was submitted, one after the other."""
        while running := self.waiting.get():
            problem = "" if running.cancelled else self.start(running)
            if running.call is None:
                running.its.close()
                self.tell_end(running, f"could not be started: {problem}" if problem else "stopped")
        self.bell.close()

    def start(self, running: Running) -> str:
        """Starts a job through MLflow; gives what went wrong. It may be running nevertheless."""
        try:
            begin = partial(self.spawn, running)
            start_through_mlflow(self.project, self.experiment_id, running.job, begin)
        except Exception as error:  # whatever it is, the orchestrator is told
            return str(error)
        return NOT_STARTED

    def spawn(self, running: Running) -> None:
        """Starts the job's supervisor, and so the job: as a copy, if that can be had."""
        call = self.call(running.job)
        running.began = time.monotonic()
        if not (self.copies and self.copies.ask(call, running.its)):
            running.process = new_supervisor(call, running.its)
        running.its.close()
        running.call = call
        self.selector.register(running.ours, selectors.EVENT_READ, running)

    def call(self, job: Job) -> Call:
        """What the job is to this machine."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        usual = calls.variables_of(job, self.experiment_id, self.project, temporary)
        return Call(
            command=calls.command_of(job, self.folder),
            folder=str(self.project),
            variables={**usual, **self.variables(job)},
            log=str(self.log(job.run_id)),
            timeout=job.step.timeout or 0,
            preload=job.step.preload,
        )

    def spawn_again(self, running: Running, call: Call) -> None:
        """Starts a job anew, of which there was no copy."""
        running.ours.close()
        running.ours, its = socket.socketpair()
        try:
            running.process = new_supervisor(call, its)
        except OSError as error:
            self.tell_end(running, f"could not be started: {error}")
            return
        finally:
            its.close()
        self.selector.register(running.ours, selectors.EVENT_READ, running)
        if running.cancelled:
            self.cancel([running.job.run_id])

    def watch(self) -> None:
        """Hears what supervisors say, until we are closed and the last of them is gone."""
        closed = False
        while not closed or self.running:
            for key, _ in self.selector.select():
                if key.data is None:
                    closed = True
                    self.selector.unregister(key.fileobj)
                else:
                    self.hear(key.data)

    def hear(self, running: Running) -> None:
        """Keeps what a supervisor says. Once it is gone, so is the job."""
        with contextlib.suppress(OSError):
            if heard := running.ours.recv(4096):
                running.said += heard
                return
        self.selector.unregister(running.ours)
        said = running.said.decode().split()
        if running.process:
            running.process.wait()
        elif running.call and not said and not running.cancelled:
            self.spawn_again(running, running.call)
            return
        if len(said) < 2 or sys.platform != "linux":
            end_what_is_left(running.job.run_id, said)
        self.tell_end(running, failure_in_words(said, running))

    def tell_end(self, running: Running, failure: str | None) -> None:
        """Tells of the end of a job."""
        running.ours.close()
        del self.running[running.job.run_id]
        self.over.put(Ended(running.job.run_id, failure, time.monotonic() - running.began))
        self.notify()


def new_supervisor(call: Call, its: socket.socket) -> subprocess.Popen[bytes]:
    """The supervisor of a new bash that runs the command."""
    words = [str(its.fileno()), call.log, str(call.timeout), call.command]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, *words],
        cwd=call.folder,
        env=call.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[its.fileno()],
        start_new_session=True,
    )


def failure_in_words(said: list[str], running: Running) -> str | None:
    """How a job failed, by what its supervisor said before it was gone; None if it did not."""
    match said:
        case []:
            return "stopped" if running.cancelled else f"could not be started: {NOT_STARTED}"
        case [_]:
            return "failed, it was killed"
        case [_, supervisor.STOPPED]:
            return "stopped"
        case [_, supervisor.TIMEOUT]:
            return f"took longer than its timeout of {running.job.step.timeout:g} s"
        case [_, "0"]:
            return None
    return f"failed, {exit_in_words(int(said[1]))}"


def exit_in_words(code: int) -> str:
    """`exit code 3`, or `killed by SIGKILL`, as Python tells of a signal or as a shell does."""
    try:
        return f"killed by {signal.Signals(-code if code < 0 else code - 128).name}"
    except ValueError:
        return f"exit code {code}"


def end_what_is_left(run_id: str, said: list[str]) -> None:
    """Ends what a supervisor that was killed had no time for."""
    for step in said[:1]:
        supervisor.kill_group(int(step), signal.SIGKILL)
    end_processes_of(run_id)
