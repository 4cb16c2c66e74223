"""Notes what the Python processes of a step read of the project, as they read it.

Python itself imports this when it starts, since its folder is on PYTHONPATH: workers that a step spawns
are seen as well, and those that it forks go on noting. Only the standard library, and little of that.
"""

from __future__ import annotations

import os
import sys

from workflow_bytecode import read_sources_only
from workflow_callers import HERE, RECORD
from workflow_notes import Recorder
from workflow_questions import tell_of_access, tell_of_questions

TOP = "WORKFLOW_TOP"


def start() -> Recorder | None:
    """Begins to note, if this process is of a step."""
    folder, top = os.environ.get(RECORD), os.environ.get(TOP)
    sys.path[:] = [place for place in sys.path if place != HERE]
    if not folder or not top:
        return None
    recorder = Recorder(f"{folder}/", top)
    read_sources_only(recorder.installed)
    tell_of_questions(recorder.asked)
    tell_of_access(recorder.asked)
    recorder.note("s", str(os.getpid()))
    sys.addaudithook(recorder.hook)
    sys.meta_path.insert(0, recorder)
    return recorder


def begin(before: Recorder | None) -> None:
    """In a copy of a running process: notes for the step that the copy becomes, with its variables.

    `before` is what `start` gave in the process that was copied, if it noted there.
    """
    sys.path[:] = [place for place in sys.path if place != HERE]
    recorder = before or start()
    if recorder is None:
        return
    if before:
        before.folder = f"{os.environ[RECORD]}/"
        for line in before.lines.values():
            before.append(line)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(HERE):
            recorder.loaded(file)
