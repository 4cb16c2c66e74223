"""The packages that steps import, found by reading: what a process can import before it is a step."""

import ast
import sysconfig
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from mlflow_workflow.identity.imports import content, follow, packages_above, parsed, run_files
from mlflow_workflow.identity.roots import roots_of
from mlflow_workflow.launch.warm.effects import can_be_copied
from mlflow_workflow.project.graph import Step, command_words

Import = tuple[str, tuple[str, ...]]
"""A module, and the names that are taken from it, some of which may be modules too."""


def packages_of(project: Path, steps: Iterable[Step]) -> dict[str, list[Import]]:
    """Each module that steps run as `python -m module`, if it can be a copy → what its files import."""
    commands = (command_words(step.command) for step in steps)
    modules = dict.fromkeys(words[2] for words in commands if words[:2] == ["python", "-m"])
    found = {}
    for module in modules:
        script, *files = files_of(project, module) or [""]
        if script and can_be_copied(project, script, [script, *files]):
            found[module] = imports_of(project, [script, *files])
    return found


def files_of(project: Path, module: str) -> list[str]:
    """The project's files that `python -m module` may run, in the order of what it runs first.

    None for a module that is not the project's.
    """
    roots = roots_of(project, "")
    scripts = list(run_files(project, module, roots))
    above = {package for script in scripts for package in packages_above(project, script)}
    return list(dict.fromkeys([*scripts, *follow(project, above.union(scripts), roots).files]))


def imports_of(project: Path, files: Iterable[str]) -> list[Import]:
    """What files import that is installed: nothing of the project's own, nothing that no file uses."""
    found: dict[Import, bool] = {}
    for file in files:
        for each, used in read(content(project / file)):
            found[each] = found.get(each, False) or used
    tops = {module.partition(".")[0] for module, _ in found}
    installed = {top for top in tops if not is_in(project, top) and is_installed(top)}
    return [each for each, used in found.items() if used and each[0].partition(".")[0] in installed]


@lru_cache(maxsize=4096)
def read(source: bytes) -> tuple[tuple[Import, bool], ...]:
    """The imports of a file that no condition guards, and whether the file uses what they bring.

    What is imported and not used is imported for what that does: it may be for this step only.
    """
    tree = parsed(source)
    if tree is None:
        return ()
    used = {dotted(node) for node in ast.walk(tree)}
    return tuple(each for node in tree.body for each in imported(node, used))


def imported(node: ast.stmt, used: Set[str]) -> Iterator[tuple[Import, bool]]:
    """What a statement imports, and whether that is used."""
    if isinstance(node, ast.Import):
        yield from (((alias.name, ()), bound(alias) in used) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = tuple(alias.name for alias in node.names if bound(alias) in used)
        yield (node.module, names), bool(names) or node.names[0].name == "*"


def dotted(node: ast.AST) -> str:
    """`a.b.c` if that is all the node is, and it is read."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{before}.{name}" if (before := dotted(value)) else ""
    return ""


def bound(alias: ast.alias) -> str:
    """How the file would write what an import brings."""
    return alias.asname or alias.name


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
