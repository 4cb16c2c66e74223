"""The folders of a project where Python looks for modules that a step imports."""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlflow_workflow.project.graph import command_words

PROJECT = "."
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
"""Most of Python's own path: nothing of it is of a project, and to look at it takes time."""


def roots_of(project: Path, command: str) -> set[str]:
    """The folders of a project, as paths in it, where a step looks for modules.

    Its command tells and PYTHONPATH, and where Python itself looks now: there may be a project that
    was installed with `pip install -e`.
    """
    around = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    there = {entry for entry in around if entry and not entry.startswith(INSTALLED)}
    real = project.resolve()
    found = {place_in(project, real, entry) for entry in there.union(entries_in(command))}
    return {PROJECT, *(place for place in found if place is not None)}


def entries_in(command: str) -> Iterator[str]:
    """The entries of every `PYTHONPATH=…` in a command, `$PWD` being the project."""
    for word in command_words(command):
        name, equals, value = word.partition("=")
        if equals and name == "PYTHONPATH":
            entries = value.rstrip(";").split(os.pathsep)
            yield from (HERE.sub(PROJECT, entry) for entry in entries if entry)


HERE = re.compile(r"\$PWD\b|\$\{+PWD\}+|\$\(pwd\)|`pwd`")  # MLproject has braces for the shell twice


def hides_entries(command: str) -> bool:
    """Does a command take entries of PYTHONPATH from where reading cannot follow?"""
    return any(set(entry) & set("$`{") and not INHERITED.match(entry) for entry in entries_in(command))


INHERITED = re.compile(r"\$PYTHONPATH$|\$\{+PYTHONPATH\}+$")


def place_in(project: Path, real: Path, entry: str) -> str | None:
    """An entry of Python's path as a folder in the project (which really is at `real`), if it is one.

    Relative entries are looked for from the project, where steps run. One that is a link counts as
    the folder it leads to, unless that lies elsewhere. What is installed into an environment that
    lies in the project is none of its code.
    """
    written = (project / entry).absolute()
    for path, top in ((written.resolve(), real), (written, project.absolute())):
        if path.is_relative_to(top) and ".." not in path.parts:
            is_code = path.is_dir() and not is_of_environment(path, top)
            return path.relative_to(top).as_posix() if is_code else None
    return None


def is_of_environment(path: Path, top: Path) -> bool:
    """Does a folder lie in a virtual environment, or the running one, below the project?"""
    below = [folder for folder in (path, *path.parents) if top in folder.parents]
    running = {Path(sys.prefix), Path(sys.prefix).resolve()}
    return any(folder in running or (folder / "pyvenv.cfg").is_file() for folder in below)


def below_roots(project: Path, roots: Iterable[str], name: str) -> Iterator[str]:
    """The existing files that have a name below any of these folders, as paths in the project."""
    for root in sorted(roots):
        file = project / root / name
        if file.is_file():
            yield file.relative_to(project).as_posix()
