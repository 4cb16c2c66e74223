"""A copy of the fork server becomes a step: what `python -m module …` would be, in its own session."""

import builtins
import importlib
import io
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn, TextIO, cast

from mlflow_workflow.launch.local.supervisor import prepare_step
from mlflow_workflow.launch.warm.preload import is_in

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
    renew_streams(call)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["variables"])
    forget(project)
    module, *arguments = call["words"]
    sys.path[0], sys.argv = call["folder"], ["-m", *arguments]
    sys.modules["__main__"] = new_main()
    try:
        # What `python -m` itself calls. Unlike run_module it leaves __main__ there for threads.
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit:
        raise
    except BaseException as error:
        sys.excepthook = partial(show, sys.excepthook, own(error.__traceback__))
        raise
    sys.exit(0)


def renew_streams(call: Call) -> None:
    """The log in the place of main's output, with streams as a new Python makes them."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what packages said while they were imported: nobody's
    with Path(call["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    at_once = bool(call["variables"].get("PYTHONUNBUFFERED"))
    sys.stdout = new_stream(sys.stdout, 1, at_once)
    sys.stderr = new_stream(sys.stderr, 2, at_once)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)


def new_stream(old: TextIO, number: int, at_once: bool) -> TextIO:
    """What Python makes at its start of the file descriptor 1 or 2; `at_once` is PYTHONUNBUFFERED."""
    if isinstance(old, io.TextIOWrapper):
        old.reconfigure(line_buffering=True)  # for a package that keeps it
    binary: Any = open(number, "wb", 0 if at_once else -1, closefd=False)  # noqa: SIM115
    getattr(binary, "raw", binary).name = old.name
    new: Any = io.TextIOWrapper(
        binary,
        old.encoding,
        old.errors,
        newline="\n",
        line_buffering=number == 2 and not at_once,
        write_through=at_once,
    )
    new.mode = "w"
    return cast(TextIO, new)


def new_main() -> ModuleType:
    """The module that Python makes before it runs anything."""
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins)
    if "__annotations__" in vars(sys.modules["__main__"]):  # with some versions of Python
        main.__annotations__ = {}
    return main


def show(
    hook: Callable[..., object],
    traceback: TracebackType | None,
    kind: type[BaseException],
    error: BaseException,
    _all: TracebackType | None,
) -> None:
    """Tells of what ended the step by the step's own excepthook, as if there were nothing around it."""
    sys.excepthook = hook
    hook(kind, error.with_traceback(traceback), traceback)


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
    """The part of a traceback that a new Python would show."""
    while traceback and traceback.tb_frame.f_globals.get("__name__") == __name__:
        traceback = traceback.tb_next
    return traceback
