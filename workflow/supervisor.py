"""Runs one step's command: its output goes to a log, and it never outlives the orchestrator.

A small process of its own, between the orchestrator and the step, with the standard library only.
It ends the whole process group of the step on SIGTERM and when the orchestrator is gone, however
that came about.
"""

import ctypes
import os
import signal
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
PR_SET_PDEATHSIG = 1


class Stop(Exception):
    """The step shall end now."""


def main(command: str) -> int:
    """Runs the command in bash; returns its exit code as a shell would give it."""
    logs, run_id = Path(os.environ["WORKFLOW_LOGS"]), os.environ["MLFLOW_RUN_ID"]
    orchestrator = int(os.environ["WORKFLOW_PID"])
    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the orchestrator, which tells us
    write_whole(logs / f"{run_id}.pid", str(os.getpid()))
    with (logs / f"{run_id}.log").open("ab") as log:
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=prepare_step,  # noqa: PLW1509 - this process has no threads
        )
    try:
        code = wait(process, orchestrator)
    except Stop:
        end_group(process)
        return 128 + signal.SIGTERM
    kill_group(process.pid, signal.SIGKILL)  # what the step left in the background
    return code if code >= 0 else 128 - code


def write_whole(file: Path, text: str) -> None:
    """Writes a file so that nobody reads half of it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """The signal handler."""
    raise Stop


def prepare_step() -> None:
    """Usual signals, and on Linux the kernel's promise to end the step if the supervisor dies."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait(process: subprocess.Popen[bytes], orchestrator: int) -> int:
    """The exit code. Raises Stop when the orchestrator is gone."""
    while True:
        try:
            return process.wait(LOOK)
        except subprocess.TimeoutExpired:
            if os.getppid() != orchestrator:
                raise Stop from None


def end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to all of the step, and SIGKILL to what is left of it after a while."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kill_group(process.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    kill_group(process.pid, signal.SIGKILL)
    process.wait()


def kill_group(group: int, number: int) -> None:
    """Signals every process of the group, if there is one left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
