"""Who does what the recorder hears of."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = "WORKFLOW_RECORD"
IMPORTER, START = "<importer>", "<start>"
"""For `caller` the import system, and Python itself before any code runs."""
IMPORTERS = {
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "zipimport",
}
UNSEEN_FLAGS = "IES"
"""Of Python, which make it pass over PYTHONPATH or `sitecustomize`."""


def is_import() -> bool:
    """Does the import system do what is noted, or Python itself when it starts?"""
    return caller() in (IMPORTER, START)


def caller(*passed_over: str) -> str:
    """The file of the code that does what is noted, but for files that begin so."""
    frame: FrameType | None = sys._getframe(1)
    while frame:
        # Not the code of the frame: to look at that is an event by itself.
        names = frame.f_globals
        file = IMPORTER if names.get("__name__") in IMPORTERS else str(names.get("__file__", "?"))
        if not file.startswith((HERE, *passed_over)) or is_package(file):
            return file
        frame = frame.f_back
    return START


def is_package(file: str) -> bool:
    """Is it a file of an installed package, and none of ours?"""
    return "-packages/" in file and not file.startswith(HERE)


def is_python(program: str) -> bool:
    """By its name."""
    return os.path.basename(program).startswith("python")


def notes_itself(words: list[str], variables: Any) -> bool:
    """Will a Python that is started with these words and variables run this file, too?"""
    for word in words:
        if word[:1] != "-" or word in ("-c", "-m"):
            break
        if word[:2] != "--" and set(word) & set(UNSEEN_FLAGS):
            return False
    if variables is None:
        return True
    given = {os.fsdecode(name): os.fsdecode(value) for name, value in dict(variables).items()}
    return RECORD in given and HERE in given.get("PYTHONPATH", "").split(os.pathsep)
