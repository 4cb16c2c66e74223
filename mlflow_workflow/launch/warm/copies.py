"""main's side of the processes that steps are copied from (Linux)."""

import importlib
import json
import os
import shlex
import shutil
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.store.db.db_types import DATABASE_ENGINES

from mlflow_workflow.launch.calls import Call
from mlflow_workflow.launch.warm.server import fork, serve
from mlflow_workflow.project.request import Request
from mlflow_workflow.server.first_use import backend_of


@dataclass
class Copies:
    """The root of those processes, to which requests are sent. They end when this process does.

    `soon` are the lists of packages of steps that may follow; the first request tells them, too.
    """

    pid: int
    requests: socket.socket
    soon: list[tuple[str, ...]]

    def ask(self, call: Call, job: socket.socket) -> bool:
        """Asks for a copy that runs the call, supervised by way of `job`. False if none can be had.

        Nor will there be one if the other end of `job` is closed before anything came from it.
        """
        words = words_of_module(call.command, call.variables)
        if call.preload is None or not words:
            return False
        request = {**vars(call), "words": words}
        if not self.send(request, job):
            return False
        while self.soon:
            self.send({**request, "preload": self.soon.pop(0)})
        return True

    def send(self, request: Mapping[str, Any], *job: socket.socket) -> bool:
        """Sends a request to the root, if that is still there."""
        message = json.dumps(request).encode()
        try:
            socket.send_fds(self.requests, [message], [each.fileno() for each in job])
        except OSError:
            return False
        return True


def import_store() -> None:
    """What main itself and every step need to log to a database; MLflow imports it when first used."""
    if backend_of(mlflow.get_tracking_uri()) in DATABASE_ENGINES:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def fork_root(project: Path, request: Request) -> Copies | None:
    """Forks the root; None where no step wants it, or copies would not be what `python -m` gives.

    Called when MLflow is imported, and before anything is done with it.
    """
    lists = [node.step.preload for node in request.nodes if not node.pin]
    soon = [preload for preload in dict.fromkeys(lists) if preload is not None]
    if not soon or not request.flag("warm") or request.flag("dry_run") or not is_plain():
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = fork()
    if pid == 0:
        try:
            serve(its, project)
        except BaseException:
            traceback.print_exc()  # in a step: to its log
        finally:
            os._exit(1)
    its.close()
    return Copies(pid, ours, soon)


def is_plain() -> bool:
    """Is this process as `python -m` in the project would be: no options, no threads; on Linux?"""
    places = (os.environ.get("PYTHONPATH") or "/").split(os.pathsep)
    fixed = all(Path(place).is_absolute() for place in places)
    options = sys.orig_argv[1:2] != sys.argv[:1] or sys.flags.safe_path
    return sys.platform == "linux" and fixed and not options and threading.active_count() == 1


def words_of_module(command: str, variables: Mapping[str, str]) -> list[str]:
    """`module`, arguments… of `python -m module arguments…`; nothing if any of it is up to bash.

    What a BASH_ENV of the user's would do is, too.
    """
    text = command.strip()
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    plain = shlex.join(words) == text and words[:2] == ["python", "-m"]
    python = shutil.which("python", path=variables.get("PATH")) or ""
    same = Path(python).parent == Path(sys.executable).parent
    return words[2:] if plain and same and "BASH_ENV" not in variables else []
