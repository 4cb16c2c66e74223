"""What would end a step while Python loads it: a missing file, a syntax error, a missing import."""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from mlflow_workflow.checks.script import is_plain, script_of
from mlflow_workflow.identity.environment import package_name, requirements
from mlflow_workflow.identity.imports import absolute, content, parsed, read_sources
from mlflow_workflow.identity.roots import roots_of
from mlflow_workflow.project.graph import Step, Workflow

ENGINE = "mlflow_workflow"
OTHER_PLACES = (b"sys.path", b"addsitedir", b"meta_path")
"""A file with one of these may import from where nobody looks."""


def broken(project: Path, workflow: Workflow, step: Step) -> list[str]:
    """A sentence for everything that would end a step while it is loaded."""
    script = script_of(project, step)
    if script is None:
        return []
    if not (project / script).is_file():
        return [f"step {step.name!r} of MLproject runs {script}, which is not there"]
    files = {name: content(project / name) for name in python_files(project, step)}
    if wrong := [line for name, source in files.items() for line in syntax_error(name, source)]:
        return wrong
    if not is_plain(step.command):
        return []
    return [
        f"{name}, line {line}, imports {module}, which is not {where_not(project, workflow, module)}"
        for name, line, module in missing_imports(project, step, script, files)
    ]


def python_files(project: Path, step: Step) -> list[str]:
    """The project's files that the step may load, whatever its `sources:` say."""
    return [n for n in read_sources(project, replace(step, sources=None)).files if n.endswith(".py")]


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
    project: Path, step: Step, script: str, files: Mapping[str, bytes]
) -> Iterator[tuple[str, int, str]]:
    """The imports that fail, of those that no condition guards in files that are loaded for certain."""
    own = {name: source for name, source in files.items() if not name.startswith(f"{ENGINE}/")}
    if any(place in source for source in own.values() for place in OTHER_PLACES):
        return
    places = {
        project,
        (project / script).parent,
        *(project / r for r in roots_of(project, step.command)),
    }
    for name in loaded(script, own):
        for module, line, _ in certain_imports(own[name], name):
            if not is_there(places, module):
                yield name, line, module


def loaded(script: str, files: Mapping[str, bytes]) -> list[str]:
    """The files that the script loads by imports that no condition guards."""
    dotted = {
        ".".join(PurePosixPath(name.removesuffix("/__init__.py")).with_suffix("").parts): name
        for name in files
    }
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


def certain_imports(source: bytes, file: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """The modules that a file imports first of all, with the line, and what it takes from each."""
    for node in tree.body if (tree := parsed(source)) else ():
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield absolute(node, file), node.lineno, tuple(alias.name for alias in node.names)


def is_there(places: set[Path], module: str) -> bool:
    """Can a module be found: in a folder of the project, or where this Python has packages?"""
    top, *below = module.split(".")
    if top in sys.stdlib_module_names or top in ("", ENGINE):
        return True
    if any(is_module(place.joinpath(top, *below)) for place in places):
        return True
    own = any((place / top / "__init__.py").is_file() for place in places)
    return not own and is_installed(top, places)


def is_module(path: Path) -> bool:
    """Is there a package of this path, or a file of whatever kind that Python loads?"""
    return path.is_dir() or any(path.parent.glob(f"{path.name}.*"))


def is_installed(top: str, places: set[Path]) -> bool:
    """Does this Python find a module elsewhere than in these folders?"""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # it is there, but odd
        return True
    found = [*(spec.submodule_search_locations or []), spec.origin] if spec else []
    return any(
        where and Path(where).parent not in places and Path(where) not in places for where in found
    )


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
