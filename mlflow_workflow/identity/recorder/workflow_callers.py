"""Who does what the recorder hears of, and what it does it to."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = "WORKFLOW_RECORD"
IMPORTER = "<frozen importlib"
UNSEEN_FLAGS = "IES"
"""Of Python, which make it pass over PYTHONPATH or `sitecustomize`."""


def absolute(path: str) -> str:
    """The path from the root; links are kept where that does not change what it means."""
    place = path if path[:1] == "/" else f"{os.getcwd()}/{path}"
    if "/." not in place and "//" not in place:
        return place.rstrip("/") or "/"
    return os.path.realpath(place) if "/.." in place else os.path.normpath(place)


def is_import() -> bool:
    """Does the import system do what is noted, or Python itself when it starts?"""
    return caller().startswith(IMPORTER) or not caller()


def caller(*passed_over: str) -> str:
    """The file of the code that does what is noted, but for files that begin so; else nothing."""
    frame: FrameType | None = sys._getframe(1)
    while frame:
        file = frame.f_code.co_filename
        is_package = "-packages/" in file
        if not file.startswith(HERE) and (is_package or not file.startswith(passed_over or "\0")):
            return file
        frame = frame.f_back
    return ""


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
