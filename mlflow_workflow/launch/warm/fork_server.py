"""Steps as copies of one process that has their packages imported already: seconds less for each.

main forks that process before it opens a file or starts a thread. Once a step shall run, it imports
what the steps import, but nothing of the project; a supervisor then asks it for a copy of itself, and
the copy becomes the step. No copy is ever used twice. Linux only; and wherever anything is not as it
must be, a supervisor gets no copy and starts a new interpreter.

    main ── fork server ── minder ── step
      └──── supervisor ······┘
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
from mlflow.store.db.db_types import DATABASE_ENGINES

from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.launch.local.supervisor import LONGEST, PR_SET_PDEATHSIG, ask_kernel
from mlflow_workflow.launch.warm.forked_step import Call, become
from mlflow_workflow.launch.warm.minder import mind
from mlflow_workflow.launch.warm.preload import Import, packages_of
from mlflow_workflow.project.request import Request
from mlflow_workflow.server.first_use import backend_of

TASKS = Path("/proc/self/task")
"""A folder for every thread of this process."""
READY = 5.0
"""Seconds that the server has to say that it listens; it takes a few milliseconds."""


@dataclass
class ForkServer:
    """main's side of it: the process, and which packages were installed when it was forked."""

    pid: int
    control: socket.socket
    project: Path
    request: Request
    installed: Mapping[str, str]
    ordered: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, address: Path) -> None:
        """Before a step starts: lets it get a copy, if the packages are still those of the fork.

        Returns when the server listens, or does not say so in time; then the step may get none.
        """
        with self.lock:
            if not self.pid:
                return
            now = read_environment(self.project, self.request.workflow.environment_file)
            if now != self.installed:
                self.close()
            elif not self.ordered:
                self.ordered = True
                variables = dict(os.environ)
                orders = {"address": str(address), "packages": self.packages(), "variables": variables}
                with contextlib.suppress(OSError):
                    self.control.sendall(json.dumps(orders).encode() + b"\n")
                    self.control.settimeout(READY)
                    self.control.recv(1)

    def packages(self) -> dict[str, list[Import]]:
        """The modules that may be copies, and what they import."""
        steps = [node.step for node in self.request.nodes if not node.pin]
        return packages_of(self.project, steps)

    def close(self) -> None:
        """Ends it. The steps that it made go on."""
        if self.pid:
            pid, self.pid = self.pid, 0
            self.control.close()
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def start(project: Path, request: Request, installed: Mapping[str, str]) -> ForkServer | None:
    """Forks the server; None where nobody wants it, or copies would not be what `python -m` gives.

    In a copy it does not return, but ends as the step ends.
    """
    wanted = request.flag("warm") and not request.flag("dry_run")
    if not wanted or sys.platform != "linux" or not is_plain(project) or not can_wait():
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    ours, its = socket.socketpair()
    with warnings.catch_warnings():
        # Of threads: OpenBLAS ends its own before a fork, and pyarrow's allocator knows what to do.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        its.close()
        return ForkServer(pid, ours, project, request, installed)
    ours.close()
    return become(serve(its, project), project)


def is_plain(project: Path) -> bool:
    """Is this process as `python -m` in the project would be: no options, no threads, all streams?"""
    options = sys.orig_argv[1:2] != sys.argv[:1] or sys.flags.safe_path or finds_others(project)
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return not options and threading.active_count() == 1 and None not in streams


def finds_others(project: Path) -> bool:
    """Does PYTHONPATH mean other folders here than in the project? An empty entry is where one is."""
    places = os.environ.get("PYTHONPATH")
    relative = places and not all(map(os.path.isabs, places.split(os.pathsep)))
    return bool(relative) and Path.cwd() != project


def can_wait() -> bool:
    """Can one wait for a process and a socket at once? Not with a Linux before 5.3, or if forbidden."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def import_store() -> None:
    """What main itself and every step need to log to a database; MLflow imports it when first used."""
    if backend_of(mlflow.get_tracking_uri()) in DATABASE_ENGINES:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


# -- in the server


def serve(control: socket.socket, project: Path) -> Call:
    """Imports, and makes copies when asked. Returns in a copy only, with what it shall do."""
    try:
        ask_kernel(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # main ends the steps, and then this
        silence()
        os.chdir(project)  # where packages may look for their settings, as a step's do
        orders = json.loads(control.makefile().readline())
        os.environ.update(orders["variables"])  # where temporary files go, for one
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(orders["address"])
            listener.listen(100)
            control.send(b"!")
            control.close()
            return make_copies(listener, orders["packages"])
    except BaseException:
        os._exit(1)


def silence() -> None:
    """What packages print while they are imported is nobody's output."""
    with Path(os.devnull).open("r+b") as nothing:
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)


def make_copies(listener: socket.socket, packages: Mapping[str, Sequence[Import]]) -> Call:
    """Makes a copy for each that asks; while the first ones run, imports what the others will need.

    Of modules that are not among those it makes none.
    """
    later: list[Import] = []
    while True:
        if later and not select.select([listener], [], [], 0)[0]:
            bring([later.pop(0)])
            continue
        connection, _ = listener.accept()
        bury_minders()
        call = json.loads(connection.recv(LONGEST) or b"{}")
        if call and call["words"][0] in packages:
            # What this step imports takes it as long as it would the step, and the next has it too.
            bring(packages[call["words"][0]])
            refuse_threads()
            if os.fork() == 0:
                listener.close()  # else it would seem to be served after the server's death
                return mind(connection, call)
            later = later or [each for module in packages.values() for each in module]
        connection.close()


def bury_minders() -> None:
    """Those that have ended. Not by ignoring SIGCHLD: what packages run to be imported would suffer."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def bring(packages: Sequence[Import]) -> None:
    """Imports packages; what cannot be imported the step will tell."""
    for module, names in packages:
        with contextlib.suppress(Exception):
            __import__(module, fromlist=names)


def refuse_threads() -> None:
    """Raises RuntimeError if there are threads but those of libraries that end them before a fork.

    A copy has only the one thread that forked; what others were about to do is never done there.
    """
    gc.freeze()  # a collection would write to all the memory that copies share
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if threading.active_count() > 1 or len([*TASKS.iterdir()]) > 1:
        raise RuntimeError("a package has started threads")
