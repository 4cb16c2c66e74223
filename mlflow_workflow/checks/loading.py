"""What would end a step while Python loads it: a missing file, a syntax error, a missing import."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from mlflow_workflow.checks.script import content, files_of, parsed, roots_of, script_of
from mlflow_workflow.identity.environment import package_name, requirements
from mlflow_workflow.identity.sources import Sources, absolute, joined
from mlflow_workflow.project.graph import Step, Workflow

ENGINE = "mlflow_workflow"
OTHER_PLACES = (b"sys.path", b"addsitedir", b"meta_path")
"""A file with one of these may import from where nobody looks."""


def broken(sources: Sources, workflow: Workflow, step: Step) -> list[str]:
    """A sentence for everything that would end a step while it is loaded.

    Nothing is said of a step of which reading cannot tell what it runs.
    """
    script, project = script_of(sources, step), sources.disk.project
    if script is None:
        return []
    if not sources.disk.is_file(script):
        return [f"step {step.name!r} of MLproject runs {script}, which is not there"]
    own = (name for name in files_of(sources, step) if not name.startswith(f"{ENGINE}/"))
    files = {name: content(project / name) for name in own}
    wrong = [line for name, source in files.items() for line in syntax_error(name, source)]
    return wrong or [
        f"{name}, line {line}, imports {module}, which is not {where_not(project, workflow, module)}"
        for name, line, module in missing_imports(sources, roots_of(sources, step), script, files)
    ]


def syntax_error(name: str, source: bytes) -> Iterator[str]:
    """Where a file is no Python, and why."""
    if parsed(source) is None:
        try:
            ast.parse(source)
        except SyntaxError as error:
            yield f"{name}, line {error.lineno}: {error.msg}"
        except ValueError as error:
            yield f"{name}: {error}"


def missing_imports(
    sources: Sources, roots: list[str], script: str, files: Mapping[str, bytes]
) -> Iterator[tuple[str, int, str]]:
    """The imports that fail, of those that no condition guards in files that are loaded for certain."""
    if any(place in source for source in files.values() for place in OTHER_PLACES):
        return
    for name in loaded(script, files):
        for module, line, _ in certain_imports(files[name], name):
            if not is_there(sources, roots, module):
                yield name, line, module


def loaded(script: str, files: Mapping[str, bytes]) -> list[str]:
    """The files that the script loads by imports that no condition guards."""
    dotted = {module_of(name): name for name in files}
    found, waiting = {script: None}, [script]
    while waiting:
        name = waiting.pop()
        imports = certain_imports(files.get(name, b""), name)
        modules = {f"{module}.{part}" for module, _, parts in imports for part in (*parts, "")}
        for known, file in dotted.items():
            if file not in found and any(f"{module}.".startswith(f"{known}.") for module in modules):
                found[file] = None
                waiting.append(file)
    return [name for name in found if name in files]


def module_of(name: str) -> str:
    """`a.b` for a/b.py and for a/b/__init__.py."""
    return ".".join(PurePosixPath(name.removesuffix("/__init__.py")).with_suffix("").parts)


def certain_imports(source: bytes, file: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """The modules that a file imports first of all, with the line, and what it takes from each."""
    for node in tree.body if (tree := parsed(source)) else ():
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield absolute(node, file), node.lineno, tuple(alias.name for alias in node.names)


def is_there(sources: Sources, roots: list[str], module: str) -> bool:
    """Can a module be found: in a folder of the project, or where this Python has packages?"""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("", ENGINE):
        return True
    if any(is_below(sources, root, module) for root in roots):
        return True
    own = any(sources.disk.is_file(joined(root, f"{top}/__init__.py")) for root in roots)
    return not own and is_installed(top, {(sources.disk.project / root).resolve() for root in roots})


def is_below(sources: Sources, folder: str, module: str) -> bool:
    """Is there a module below a folder of the project, of whatever kind?"""
    for part in module.split("."):
        if part not in sources.disk.modules_in(folder):
            return False
        folder = joined(folder, part)
    return True


def is_installed(top: str, own: set[Path]) -> bool:
    """Does this Python find a module elsewhere than in these folders?"""
    return any(place not in own and place.parent not in own for place in found_at(top))


@cache
def found_at(top: str) -> tuple[Path, ...]:
    """Where this Python finds a module: its file, or its folders."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # it is there, but odd
        return (Path(sys.prefix),)
    places = [*(spec.submodule_search_locations or []), spec.origin] if spec else []
    return tuple(Path(place) for place in places if place)


def where_not(project: Path, workflow: Workflow, module: str) -> str:
    """Where a missing module should have been, and what to do."""
    file, top = workflow.environment_file, module.partition(".")[0]
    if (project / top).is_dir() or (project / f"{top}.py").is_file():
        return "there"
    listed = {package_name(line) for line in requirements(project / file)} if file else set()
    if top.lower().replace("_", "-") in listed:
        return f"installed, though {file} lists it: install it"
    return (
        f"installed: list its package in {file or 'the environment file of MLproject'}, and install it"
    )
