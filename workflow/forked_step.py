"""A copy of the fork server becomes a step: what `python -m module …` would be, in its own session."""

import importlib
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from workflow.preload import is_in
from workflow.supervisor import prepare_step

Call = Mapping[str, Any]
"""What a supervisor wants: `words` (module and arguments), `folder`, `variables`, `log`."""


def begin(minder: socket.socket) -> None:
    """In the step, before anything of it runs: waits until the supervisor knows it."""
    os.setsid()
    prepare_step()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in every new Python
    minder.send(b"!")
    if not minder.recv(1):
        os._exit(1)
    minder.close()


def become(call: Call, project: Path) -> NoReturn:
    """Makes of this copy what `python -m module …` would be, and ends as that ends."""
    with Path(call["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=False)  # type: ignore[union-attr]
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["variables"])
    forget(project)
    module, *arguments = call["words"]
    sys.path[0], sys.argv = call["folder"], [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception as error:
        error.with_traceback(own(error.__traceback__))  # as if there were nothing around it
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
    sys.exit(0)


def forget(project: Path) -> None:
    """Takes back what main left in memory of the project, of where it was, and of chance."""
    tops = {name.partition(".")[0] for name in sys.modules}
    of_the_project = {top for top in tops if is_in(project, top) and lies_in(project, top)}
    for name in [name for name in sys.modules if name.partition(".")[0] in of_the_project]:
        del sys.modules[name]
    importlib.invalidate_caches()
    tempfile.tempdir = None
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def lies_in(project: Path, top: str) -> bool:
    """Was this module read from the project, and not from a package of the same name?"""
    module = sys.modules.get(top)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(Path(place).resolve().is_relative_to(project) for place in places if place)


def own(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the step's."""
    while traceback and traceback.tb_frame.f_globals.get("__name__") in (__name__, "runpy"):
        traceback = traceback.tb_next
    return traceback
