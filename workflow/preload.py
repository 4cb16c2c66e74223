"""The packages that steps import, found by reading: what a process can import before it is a step."""

import ast
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from workflow.graph import Step, command_words
from workflow.imports import content, read_sources, run_files, run_modules

Import = tuple[str, tuple[str, ...]]
"""A module, and the names that are taken from it, some of which may be modules too."""


def packages_of(project: Path, steps: Iterable[Step]) -> dict[str, list[Import]]:
    """Each module that is run as one of these steps → what its files import, in their order."""
    return {
        module: imports_of(project, [*run_files(project, module), *read_sources(project, step).files])
        for step in steps
        for module in run_modules(command_words(step.command))
    }


def imports_of(project: Path, files: Iterable[str]) -> list[Import]:
    """What files import that is installed: nothing of the project's own."""
    found = dict.fromkeys(each for file in dict.fromkeys(files) for each in read(project / file))
    tops = {module.partition(".")[0] for module, _ in found}
    installed = {top for top in tops if not is_in(project, top) and is_installed(top)}
    return [each for each in found if each[0].partition(".")[0] in installed]


def read(file: Path) -> Iterator[Import]:
    """The imports of a file that no condition guards."""
    try:
        tree = ast.parse(content(file))
    except (SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, tuple(alias.name for alias in node.names if alias.name != "*")


def is_in(project: Path, top: str) -> bool:
    """Is this a module of the project?"""
    return (project / top).is_dir() or (project / f"{top}.py").is_file()


def is_installed(top: str) -> bool:
    """Does a module come with Python or from an installed package, not from a folder of sources?

    Those may change while the workflow runs, without a new version that would tell.
    """
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return spec is not None and spec.origin is not None
    places = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    return not places.isdisjoint(Path(str(spec.origin)).parents)
