"""Runs one step's process: its output goes to a log, and it never outlives the orchestrator.

A small process of its own, between the orchestrator and the step, with the standard library only. One
socket joins it to the orchestrator. The supervisor writes two words of text to it and no more: the
process id of the step, and how it ended. Whatever comes from there, its end too, means that the step
shall end: so it does however the orchestrator goes.

    supervisor.py SOCKET LOG TIMEOUT COMMAND
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

GRACE = 5.0
"""Seconds that a step has to end by itself after SIGTERM."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
MOST_GENERATIONS = 50
STOPPED, TIMEOUT = "stopped", "timeout"
CANNOT_START = 127

WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def supervise(control: socket.socket, log: str, timeout: float, act: Callable[[], object]) -> None:
    """Runs `act` in a process of its own, and says how that ended once nothing of it is left.

    A `timeout` of 0 is none.
    """
    if select.select([control], [], [], 0)[0]:
        return  # it shall not even begin
    signals, its = watch_signals()
    ask_kernel(PR_SET_CHILD_SUBREAPER, 1)
    step = start([control, signals, its], log, act)
    with contextlib.suppress(OSError):  # an orchestrator that is gone is noticed below
        control.sendall(f"{step}\n".encode())
    code, why = wait(step, control, signals, timeout)
    if code is None:
        kill_group(step, signal.SIGTERM)
        code = wait_for_end(step, signals, GRACE)
    kill_group(step, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(step, 0)[1]) if code is None else code
    end_adopted()
    with contextlib.suppress(OSError):
        control.sendall(f"{why or code}\n".encode())


def watch_signals() -> tuple[socket.socket, socket.socket]:
    """Gives a socket that tells of signals, so that one call can wait for them and for all else.

    Python writes to the other one. Signals of a terminal are meant for the orchestrator, which tells us.
    """
    ours, its = socket.socketpair()
    for end in (ours, its):
        end.setblocking(False)
    for number in WATCHED:
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(its.fileno(), warn_on_full_buffer=False)
    return ours, its


def start(ours: Iterable[socket.socket], log: str, act: Callable[[], object]) -> int:
    """The id of a new process that leads a session of its own and prints to the log, without `ours`."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            for each in ours:
                each.close()
            prepare_step(parent)
            redirect(log)
        except OSError:
            os._exit(CANNOT_START)
        act()
        os._exit(CANNOT_START)
    return pid


def prepare_step(parent: int) -> None:
    """Usual signals, and the kernel's promise to end the step if the supervisor dies."""
    os.setsid()
    for number in WATCHED:
        signal.signal(number, signal.SIG_DFL)
    ask_kernel(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that promise
        os._exit(CANNOT_START)


def redirect(log: str) -> None:
    """Sends what is printed to the log."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def ask_kernel(option: int, value: int) -> None:
    """On Linux: a signal when the parent dies, or to become the parent of orphans below."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def wait(
    step: int, control: socket.socket, signals: socket.socket, timeout: float
) -> tuple[int | None, str]:
    """The exit code; or None, and why the step shall end."""
    until = time.monotonic() + timeout
    while True:
        left = max(0.0, until - time.monotonic()) if timeout else None
        ready, _, _ = select.select([control, signals], [], [], left)
        told = signals.recv(4096) if signals in ready else b""
        if (code := exit_code(step)) is not None:
            return code, ""
        if control in ready or signal.SIGTERM in told:
            return None, STOPPED
        if not ready:
            return None, TIMEOUT


def wait_for_end(step: int, signals: socket.socket, seconds: float) -> int | None:
    """The exit code; None if the step does not end in time."""
    until = time.monotonic() + seconds
    while (code := exit_code(step)) is None and (left := until - time.monotonic()) > 0:
        if select.select([signals], [], [], left)[0]:
            signals.recv(4096)
    return code


def exit_code(step: int) -> int | None:
    """The step's exit code if it has ended. Buries orphans that ended, too."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == step:
                return os.waitstatus_to_exitcode(ended[1])
    return None


def kill_group(group: int, number: int) -> None:
    """Signals every process of the group, if there is one left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_adopted() -> None:
    """Ends what the step started outside its group: such orphans become ours, then their children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(MOST_GENERATIONS):
        try:
            orphans = [int(word) for word in children.read_text().split()]
        except OSError:
            return
        for orphan in orphans:
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
        if not orphans:
            return


def become_bash(command: str) -> None:
    """Makes of this process a bash that runs the command."""
    try:
        os.execvp("bash", ["bash", "-c", command])
    except OSError as error:
        os.write(2, f"bash could not be started: {error}\n".encode())


def main(number: str, log: str, timeout: str, command: str) -> None:
    """The supervisor of a new bash with the command."""
    control = socket.socket(fileno=int(number))
    control.set_inheritable(False)
    supervise(control, log, float(timeout), lambda: become_bash(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
