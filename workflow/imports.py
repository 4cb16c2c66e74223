"""The files that a step is made of: its script and every project module it imports, found by reading.

Nothing is imported: the syntax tree of each file tells what it may import, anywhere in it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workflow.graph import Step, command_words

UNSEEN = {
    "import_module",
    "__import__",
    "exec",
    "eval",
    "run_module",
    "run_path",
    "spec_from_file_location",
}
"""Calls that load code in a way that reading cannot follow."""


@dataclass(frozen=True)
class Sources:
    """The files of a step (paths in the project) and the places where reading could not follow."""

    files: tuple[str, ...]
    unseen: tuple[str, ...] = ()


def read_sources(project: Path, step: Step) -> Sources:
    """The files that decide what a step does: its `sources:` if it has them, else what it imports."""
    if step.sources is not None:
        return Sources(tuple(matching(project, step.sources)))
    named = [word.removeprefix("./") for word in command_words(step.command)]
    files = {word for word in named if is_file_in(project, word)}
    if step.script and is_file_in(project, step.script):
        files.add(step.script)
        files |= set(packages_above(project, step.script))
    return follow(project, files)


def matching(project: Path, globs: tuple[str, ...]) -> Iterator[str]:
    """The files that any of the globs matches, sorted; a glob that names a folder means all in it."""
    found = set()
    for glob in globs:
        for path in project.glob(glob):
            inside = path.rglob("*") if path.is_dir() else [path]
            found |= {file.relative_to(project).as_posix() for file in inside if file.is_file()}
    yield from sorted(name for name in found if "__pycache__" not in PurePosixPath(name).parts)


def is_file_in(project: Path, name: str) -> bool:
    """Does a word of a command name a file in the project?"""
    try:
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        return inside and (project / name).is_file()
    except (OSError, ValueError):
        return False


def packages_above(project: Path, file: str) -> Iterator[str]:
    """The __init__.py of every package that importing this file runs."""
    for folder in PurePosixPath(file).parents:
        if (project / folder / "__init__.py").is_file():
            yield (folder / "__init__.py").as_posix()


def follow(project: Path, start: set[str]) -> Sources:
    """The files reached from these by imports, and the places that reading cannot follow."""
    found: set[str] = set()
    unseen: list[str] = []
    waiting = sorted(start)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        if file.endswith(".py"):
            tree = parse(project / file)
            unseen += [f"{file}:{line}" for line in unseen_lines(tree)]
            roots = import_roots(file, start)
            for module in imported(tree, file):
                waiting += module_files(project, module, roots)
    return Sources(tuple(sorted(found)), tuple(sorted(unseen)))


def import_roots(file: str, start: set[str]) -> set[str]:
    """Where absolute imports look: the project, and the folder of a script that is run by path."""
    return {"."} | {str(PurePosixPath(script).parent) for script in start}


def parse(file: Path) -> ast.Module:
    """The syntax tree; an empty one for a file that Python could not run either."""
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def imported(tree: ast.Module, file: str) -> Iterator[str]:
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


def module_files(project: Path, module: str, roots: set[str]) -> Iterator[str]:
    """The project's files that importing a module runs: the module and the packages above it."""
    parts = [part for part in module.split(".") if part and part != "*"]
    for root in roots:
        for count in range(1, len(parts) + 1):
            path = PurePosixPath(root, *parts[:count])
            for candidate in (f"{path}.py", f"{path}/__init__.py"):
                if (project / candidate).is_file():
                    yield candidate


def unseen_lines(tree: ast.Module) -> Iterator[int]:
    """The lines that call something by which code is loaded unseen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name in UNSEEN and not (name == "eval" and isinstance(node.func, ast.Attribute)):
                yield node.lineno
