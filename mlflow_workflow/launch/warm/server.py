"""A tree of processes that have imported packages already, and make steps of copies of themselves.

The root has what main had when it was forked: MLflow. Below it stands a process for every list of
packages that an entry of MLproject has under `preload`, forked from the one for all but the last of
them: a step is a copy of a process that imported what its entry says, and nothing for its neighbours.

    main ─ root ─ sklearn ─ sklearn, skops ─ supervisor ─ step

No copy is used twice. Where anything is not as it must be, the socket of the job is closed, by which the
engine knows that there will be no copy.
"""

import gc
import importlib
import json
import os
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mlflow_workflow.launch.local.supervisor import supervise
from mlflow_workflow.launch.warm.copy import become

LONGEST = 1 << 20
"""Bytes of a request, most of them environment variables."""
ENGINE = __name__.partition(".")[0]
TASKS = Path("/proc/self/task")
"""A folder for every thread of this process."""

Request = Mapping[str, Any]
"""`preload`, `words` (module and arguments), `folder`, `variables`, `log`, `timeout`.

It comes with the socket of the job. Without one it is for getting ready only.
"""


@dataclass
class Server:
    """One process of the tree. Requests come from the one above it, or from main.

    `brought` are the environment variables that packages set while they were imported.
    """

    requests: socket.socket
    project: Path
    have: int = 0
    brought: dict[str, str] = field(default_factory=dict)
    below: dict[str, socket.socket] = field(default_factory=dict)

    def serve(self) -> NoReturn:
        """Does what it is asked, until nobody can ask any more."""
        places = times_of_places(self.project)
        while True:
            message, numbers, _, _ = socket.recv_fds(self.requests, LONGEST, 1)
            job = [socket.socket(fileno=number) for number in numbers]
            if not message or times_of_places(self.project) != places:
                os._exit(0)
            request = json.loads(message)
            if request["preload"][self.have :]:
                self.pass_on(request, message, job)
            elif job and fork() == 0:
                self.close()
                self.supervise(request, job[0])
            close(*job)

    def pass_on(self, request: Request, message: bytes, job: list[socket.socket]) -> None:
        """Lets the process that has one package more do it; makes that process first, if need be."""
        package = request["preload"][self.have]
        if package not in self.below:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if fork() == 0:
                close(ours, *job)
                self.close()
                self.grow(package, request, its)
            close(its)
            self.below[package] = ours
        try:
            socket.send_fds(self.below[package], [message], [each.fileno() for each in job])
        except OSError:  # it has ended, and is made anew for the next
            close(self.below.pop(package))

    def grow(self, package: str, request: Request, requests: socket.socket) -> NoReturn:
        """Goes on as the process that has this package, too; ends if it cannot be had."""
        os.environ.clear()
        os.environ.update(request["variables"])
        if package.partition(".")[0] in names_in(self.project):
            os._exit(1)  # the project's own is read by the step itself, as it is then
        importlib.import_module(package)
        refuse_threads()
        brought = {n: v for n, v in os.environ.items() if request["variables"].get(n) != v}
        Server(requests, self.project, self.have + 1, self.brought | brought).serve()

    def supervise(self, request: Request, job: socket.socket) -> NoReturn:
        """Becomes the supervisor of a step."""
        words, folder = request["words"], request["folder"]
        variables = request["variables"] | self.brought
        supervise(job, request["log"], request["timeout"], lambda: become(words, folder, variables))
        os._exit(0)

    def close(self) -> None:
        """Lets go of what is this process's own; a process that was forked from it calls that."""
        close(self.requests, *self.below.values())


def serve(requests: socket.socket, project: Path) -> NoReturn:
    """What the root does, which main has just forked."""
    os.setsid()  # signals of a terminal are meant for main
    os.closerange(3, requests.fileno())
    os.closerange(requests.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    with Path(os.devnull).open("r+b") as nothing:
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)
    os.chdir(project)  # where packages may look for their settings, as a step's do
    forget(names_in(project))
    refuse_threads()
    Server(requests, project).serve()


def forget(tops: set[str]) -> None:
    """Takes modules back: a copy imports them anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def names_in(project: Path) -> set[str]:
    """The names that modules of the project may have, with those that main itself consists of."""
    return {"__main__", ENGINE, *(path.stem for path in project.iterdir())}


def times_of_places(project: Path) -> list[int]:
    """When packages last came to the folders that modules are found in, or left them."""
    found = []
    for place in map(Path, sys.path):
        with suppress(OSError):
            if place.is_dir() and place.resolve() != project:
                found.append(place.stat().st_mtime_ns)
    return found


def fork() -> int:
    """Forks. Children that have ended are buried first, with nothing done to SIGCHLD."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    with warnings.catch_warnings():
        # Of threads: OpenBLAS ends its own before a fork, and pyarrow's allocator knows what to do.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def refuse_threads() -> None:
    """Ends this process if there are threads but those of libraries that end them before a fork.

    A copy has only the one thread that forked; what others were about to do is never done there.
    """
    gc.freeze()  # a collection would write to all the memory that copies share
    pid = fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if threading.active_count() > 1 or len([*TASKS.iterdir()]) > 1:
        os._exit(1)


def close(*sockets: socket.socket) -> None:
    """Closes them."""
    for each in sockets:
        each.close()
