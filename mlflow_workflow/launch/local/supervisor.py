"""Runs one step's command: its output goes to a log, and it never outlives the orchestrator.

A small process of its own, between the orchestrator and the step, with the standard library only.
It ends all that the step started on SIGTERM, when a file tells it to, and when the orchestrator is
gone, however that came about.
"""

import contextlib
import ctypes
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

LOOK = 0.5
"""Seconds between two looks whether the orchestrator is still there."""
GRACE = 5.0
"""Seconds that a step has to end by itself after SIGTERM."""
PATIENCE = 300.0
"""Seconds to wait for a copy; packages may have to be imported first, from a slow network disk."""
LONGEST = 1 << 20
"""Bytes of a message, most of them environment variables."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
MOST_GENERATIONS = 50


class Stop(Exception):
    """The step shall end now."""


def main(command: str) -> int:
    """Runs the command in bash; returns its exit code as a shell would, and keeps it in a file."""
    logs, run_id = Path(os.environ["WORKFLOW_LOGS"]), os.environ["MLFLOW_RUN_ID"]
    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the orchestrator, which tells us
    process = None
    try:
        ask_kernel(PR_SET_PDEATHSIG, signal.SIGTERM)
        ask_kernel(PR_SET_CHILD_SUBREAPER, 1)
        write_whole(logs / f"{run_id}.pid", str(os.getpid()))
        refuse_to_outlive(logs, run_id)
        process = start(command, logs / f"{run_id}.log")
        code = wait(process, logs, run_id)
    except Stop:
        code = -signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if process:
        end_all(process)
    end_adopted()  # also what was just being started when we were told to stop
    code = code if code >= 0 else 128 - code
    with contextlib.suppress(OSError):  # the folder goes with the orchestrator
        write_whole(logs / f"{run_id}.exit", str(code))
    return code


class Copy:
    """A step that the fork server made, with what is used of Popen."""

    def __init__(self, minder: socket.socket, pid: int) -> None:
        self.minder, self.pid = minder, pid
        self.code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        if self.code is None:
            if not select.select([self.minder], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            said = self.minder.recv(LONGEST)
            self.code = int(said) if said else -signal.SIGKILL
        return self.code

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.code


Process = subprocess.Popen[bytes] | Copy


def start(command: str, log_file: Path) -> Process:
    """The step's first process, in a group of its own: a copy of the fork server, or a new bash."""
    return ask_for_copy(command, log_file) or start_bash(command, log_file)


def ask_for_copy(command: str, log_file: Path) -> Copy | None:
    """A copy of the fork server that becomes the step; None where bash has to run the command."""
    words = words_of_module(command)
    if not words:
        return None
    variables = dict(os.environ)
    call = {"words": words, "folder": str(Path.cwd()), "variables": variables, "log": str(log_file)}
    minder = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        minder.settimeout(PATIENCE)
        minder.connect(os.environ["WORKFLOW_FORK_SERVER"])
        minder.send(json.dumps(call).encode())
        pid = int(minder.recv(LONGEST))
        minder.send(b"!")  # from here on it runs, and never before
        minder.settimeout(None)
    except (OSError, KeyError, ValueError):
        minder.close()
        return None
    return Copy(minder, pid)


def words_of_module(command: str) -> list[str]:
    """`module`, arguments… of `python -m module arguments…`; nothing if any of it is up to bash.

    What a BASH_ENV of the user's would do is, too.
    """
    text = command.strip()
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    plain = shlex.join(words) == text and words[:2] == ["python", "-m"]
    python = shutil.which("python") or ""
    same = Path(python).parent == Path(os.environ["WORKFLOW_PYTHON"]).parent
    return words[2:] if plain and same and "BASH_ENV" not in os.environ else []


def start_bash(command: str, log_file: Path) -> subprocess.Popen[bytes]:
    """A new bash with the command."""
    with log_file.open("ab") as log:
        return subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=prepare_step,  # noqa: PLW1509 - this process has no threads
        )


def write_whole(file: Path, text: str) -> None:
    """Writes a file so that nobody reads half of it."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.rename(file)


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """The signal handler."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop


def ask_kernel(option: int, value: int) -> None:
    """On Linux: a signal when the parent dies, or to become the parent of orphans below."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def prepare_step() -> None:
    """Usual signals, and the kernel's promise to end the step if the supervisor dies."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    ask_kernel(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait(process: Process, logs: Path, run_id: str) -> int:
    """The exit code. Raises Stop when the step shall end."""
    while True:
        try:
            return process.wait(LOOK)
        except subprocess.TimeoutExpired:
            refuse_to_outlive(logs, run_id)


def refuse_to_outlive(logs: Path, run_id: str) -> None:
    """Raises Stop if the orchestrator is gone or wants the step to end."""
    gone = os.getppid() != int(os.environ["WORKFLOW_PID"])
    if gone or any((logs / f"{run_id}.{why}").exists() for why in ("stop", "timeout")):
        raise Stop


def end_all(process: Process) -> None:
    """SIGTERM to the step if it still runs; SIGKILL, after a while, to all of its group."""
    if process.poll() is None:
        kill_group(process.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    kill_group(process.pid, signal.SIGKILL)
    process.wait()


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
