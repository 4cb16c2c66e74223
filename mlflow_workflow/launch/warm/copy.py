"""A copy of a process becomes a step: what `python -m module …` would be, from its begin to its end."""

import atexit
import builtins
import gc
import importlib
import io
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType, TracebackType
from typing import Any, NoReturn, TextIO, cast


def become(words: Sequence[str], folder: str, variables: Mapping[str, str]) -> NoReturn:
    """Makes of this process what `python -m words…` would be in the folder, and ends as that ends."""
    known = set(sys.modules)
    os.environ.clear()
    os.environ.update(variables)
    sys.stdout, sys.stderr = new_stream(sys.stdout, 1), new_stream(sys.stderr, 2)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)
    sys.argv, sys.orig_argv = ["-m", *words[1:]], ["python", "-m", *words]
    sys.path[0] = folder
    replace_main(new_main())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.invalidate_caches()
    tempfile.tempdir = None
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    begin_record()
    code = run(words[0])
    end(code, set(sys.modules) - known)


def new_stream(old: TextIO, number: int) -> TextIO:
    """What Python makes at its start of the file descriptor 1 or 2."""
    if isinstance(old, io.TextIOWrapper):
        old.reconfigure(line_buffering=True)  # for a package that keeps it
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    binary: Any = open(number, "wb", 0 if at_once else -1, closefd=False)  # noqa: SIM115
    getattr(binary, "raw", binary).name = old.name
    lines = number == 2 and not at_once
    new: Any = io.TextIOWrapper(binary, old.encoding, old.errors, "\n", lines, at_once)
    new.mode = "w"
    return cast(TextIO, new)


def new_main() -> ModuleType:
    """The module that Python makes before it runs anything."""
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins)
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    return main


def replace_main(main: ModuleType) -> None:
    """Puts another module in the place of what runs; multiprocessing has a second name for that."""
    names = {"__main__", "__mp_main__"} & {"__main__", *sys.modules}
    sys.modules.update(dict.fromkeys(names, main))


def begin_record() -> None:
    """Lets the recorder note what this step uses, if it would in a new Python."""
    if "WORKFLOW_RECORD" in os.environ:
        places = os.environ["PYTHONPATH"].split(os.pathsep)
        sys.path[1:1] = [place for place in places if place and place not in sys.path]
        importlib.import_module("workflow_recorder").begin(None)


def run(module: str) -> int:
    """Runs the module; the exit code that Python would give, less than 0 for the end by a signal."""
    try:
        # What `python -m` itself calls. Unlike run_module it leaves __main__ there for threads.
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        own = own_part(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(own), own)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def own_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the frame on that runs the module."""
    while traceback and traceback.tb_frame.f_globals.get("__name__") == __name__:
        traceback = traceback.tb_next
    return traceback


def end(code: int, own: set[str]) -> NoReturn:
    """What Python does at its end, but for what was imported before: to free that takes a while."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for name in own:
        sys.modules.pop(name, None)
    replace_main(ModuleType("__main__"))
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
