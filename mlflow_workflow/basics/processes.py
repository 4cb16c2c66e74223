"""Which process is which on this machine, and who started this one."""

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

LOOK = 0.5
"""Seconds between two looks whether a process is still there."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
STARTED = 19
"""Where /proc/<pid>/stat tells, counted from its third field, when a process started."""


def owner() -> str:
    """This process: where, its id, and when it started, which no later process shares."""
    return f"{machine()} {os.getpid()} {began(os.getpid())}"


def machine() -> str:
    """Where process ids mean the same: on Linux one boot of a host, and the namespace of a container.

    Two machines may bear one name, so the name alone would prove nothing.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [BOOT.read_text().strip(), str(Path("/proc/self/ns/pid").readlink())]
    return re.sub(r"[\s'\"`%]", "-", "/".join(parts))


def began(process_id: int) -> str:
    """When a process started. On Linux since boot, so setting the clock does not change it.

    Raises:
        psutil.Error: it cannot be looked at, or is no more.
    """
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[STARTED]
    return f"{psutil.Process(process_id).create_time():.2f}"


def owner_is_gone(said: str) -> bool:
    """Is it certain that the process is no more? Of another machine's processes nothing is."""
    where, _, process = said.partition(" ")
    process_id, _, started = process.partition(" ")
    return where == machine() and process_id.isdigit() and is_gone(int(process_id), started)


def is_gone(process_id: int, started: str) -> bool:
    """Has this process ended? One that waits to be buried has; one that must not be seen has not."""
    if not psutil.pid_exists(process_id):
        return True
    try:
        buried = psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
        return buried or began(process_id) != started
    except psutil.Error:
        return not psutil.pid_exists(process_id)


def end_processes_of(run_id: str) -> None:
    """Ends whatever still runs for a step's run."""
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("MLFLOW_RUN_ID") == run_id:
                process.kill()


def starters(run_id: str) -> list[tuple[int, str]]:
    """The processes from this one's parent up to the `mlflow run` that set up its run.

    Those between (a shell, with most environment managers) got the run's id in their environment.
    None for a process that has left the session of `mlflow run`, so as to outlive it.
    """
    found = []
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().parents():
            if os.getsid(process.pid) != os.getsid(0):
                return []
            found.append((process.pid, began(process.pid)))
            if process.environ().get("MLFLOW_RUN_ID") != run_id:
                break
    return found


@contextlib.contextmanager
def ends_with(chain: Sequence[tuple[int, str]]) -> Iterator[None]:
    """While the block lasts, the end of any of these processes counts as SIGTERM to this one."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            if any(is_gone(*process) for process in chain):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    if chain:
        threading.Thread(target=watch, name="starters", daemon=True).start()
    try:
        yield
    finally:
        over.set()
