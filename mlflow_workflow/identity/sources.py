"""The files that a step is made of: its script and every module of the project that it imports.

Nothing is imported: the syntax tree of each file tells what it may import, anywhere in it. This makes
the key by which earlier runs are looked up; what a step really used is told by its record.
"""

import ast
import glob
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from mlflow_workflow.basics import files
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.disk import Disk
from mlflow_workflow.project.commands import python_words
from mlflow_workflow.project.graph import Step, command_words

PROJECT = "."
Roots = tuple[str, ...]
"""Folders of the project where modules are looked for."""

PARSING = threading.Lock()
"""Python 3.11 counts the depth of all syntax trees that threads make in one place, and fails then."""


@dataclass(frozen=True)
class Sources:
    """The sources of steps, as one look at the disk finds them. `parsed` outlives the look."""

    disk: Disk
    parsed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict, repr=False)
    reached: dict[tuple[Roots, str], tuple[str, ...]] = field(default_factory=dict, repr=False)
    steps: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @cached_property
    def around(self) -> Roots:
        """The folders of the project where every step looks for modules."""
        return PROJECT, *roots_around(self.disk.project)

    def again(self, disk: Disk) -> "Sources":
        """The sources at another look."""
        return Sources(disk, self.parsed)

    def of(self, step: Step) -> tuple[str, ...]:
        """The files of a step: its `sources:`, else those that its command names and all they import.

        Raises:
            WorkflowError: `sources:` that match no file.
        """
        if step.name not in self.steps:
            declared = step.sources is not None
            self.steps[step.name] = self.declared(step) if declared else self.imported(step.command)
        return self.steps[step.name]

    def declared(self, step: Step) -> tuple[str, ...]:
        """The files that the globs of a step match; one that names a folder means all in it."""
        project, found = self.disk.project, set()
        for each in step.sources or ():
            # Path.glob would not follow links.
            for name in glob.glob(each, root_dir=project, recursive=True, include_hidden=True):  # noqa: PTH207
                path = project / name
                inside = files.files_in(path).values() if path.is_dir() else [path]
                found |= {file.relative_to(project).as_posix() for file in inside if file.is_file()}
        if not found:
            globs = ", ".join(step.sources or ())
            raise WorkflowError(f"'sources' of step {step.name!r} in MLproject match no file: {globs}")
        return tuple(sorted(name for name in found if "__pycache__" not in PurePosixPath(name).parts))

    def imported(self, command: str) -> tuple[str, ...]:
        """The files of the project that a command names, and all that they import."""
        named = {word.removeprefix("./") for word in command_words(command)}
        start = {word for word in named if is_inside(word) and self.disk.is_file(word)}
        python = python_words(command) or []
        roots = [*self.around]
        if python[:1] == ["-m"]:
            start.update(file for root in roots for file in self.run_files(python[1], root))
        roots += [str(PurePosixPath(file).parent) for file in start if file in python[:1]]
        found, waiting = set[str](), [*start, *(p for file in start for p in self.packages_above(file))]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self.next(file, tuple(dict.fromkeys(roots)))
        return tuple(sorted(found))

    def run_files(self, module: str, root: str = PROJECT) -> Iterator[str]:
        """The file of a module that `python -m` runs; of a package, its __main__.py."""
        path = module.replace(".", "/")
        for name in (f"{path}.py", f"{path}/__main__.py"):
            if is_inside(name) and self.disk.is_file(joined(root, name)):
                yield joined(root, name)

    def packages_above(self, file: str) -> Iterator[str]:
        """The __init__.py of every package that importing this file runs."""
        for folder in PurePosixPath(file).parents:
            name = joined(str(folder), "__init__.py")
            if self.disk.is_file(name):
                yield name

    def next(self, file: str, roots: Roots) -> tuple[str, ...]:
        """The files that a file imports itself."""
        if not file.endswith(".py"):
            return ()
        if (roots, file) not in self.reached:
            found = (each for module in self.modules(file) for each in self.module_files(module, roots))
            self.reached[roots, file] = tuple(dict.fromkeys(found))
        return self.reached[roots, file]

    def modules(self, file: str) -> tuple[str, ...]:
        """The modules that a file may import."""
        key = (self.disk.file(file), file)
        if key not in self.parsed:
            self.parsed[key] = modules_of(self.disk.project / file, file)
        return self.parsed[key]

    def module_files(self, module: str, roots: Roots) -> Iterator[str]:
        """The project's files that importing a module runs: the module and the packages above it.

        `package.*` may import every module of the package.
        """
        first, *more = [part for part in module.split(".") if part] or [""]
        for root in roots:
            if first == "*" or first in self.disk.modules_in(root):
                yield from self.files_below(root, [first, *more])

    def files_below(self, path: str, parts: Iterable[str]) -> Iterator[str]:
        """The files of a module and of the packages on the way to it, from a folder on."""
        for part in parts:
            if part == "*":
                yield from (joined(path, f"{name}.py") for name in self.disk.modules_in(path))
                return
            path = joined(path, part)
            yield from (f for f in (f"{path}.py", f"{path}/__init__.py") if self.disk.is_file(f))


def roots_around(project: Path) -> Iterator[str]:
    """The folders of the project on PYTHONPATH, and where Python itself looks now."""
    entries = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    places = {Path(os.path.normpath(project / entry)) for entry in entries if entry}
    for place in sorted(places):
        for top in {project, project.resolve()}:
            if place.is_relative_to(top) and place.is_dir() and not is_of_environment(place, top):
                yield place.relative_to(top).as_posix()


def is_of_environment(path: Path, top: Path) -> bool:
    """Does a folder lie in a virtual environment, or the running one, below the project?"""
    below = [folder for folder in (path, *path.parents) if top in folder.parents]
    return any(f == Path(sys.prefix) or (f / "pyvenv.cfg").is_file() for f in below)


def joined(folder: str, name: str) -> str:
    """The path of a name in a folder of the project."""
    return name if folder == PROJECT else f"{folder}/{name}"


def is_inside(name: str) -> bool:
    """May a word be a path in the project?"""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def modules_of(file: Path, name: str) -> tuple[str, ...]:
    """The modules that a file may import; none if Python could not run it."""
    try:
        source = file.read_bytes()
        with PARSING:
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(imports_of(tree, name)))


def imports_of(tree: ast.Module, file: str) -> Iterator[str]:
    """Every module that a file may import, as absolute dotted names, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, file)
            yield base
            # `from package import name` may import the module package.name
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def absolute(node: ast.ImportFrom, file: str) -> str:
    """`from ..x import y` in a/b/c.py is about a.x."""
    if not node.level:
        return node.module or ""
    package = PurePosixPath(file).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])
