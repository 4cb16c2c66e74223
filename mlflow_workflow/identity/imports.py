"""The files that a step is made of: its script and every project module it imports, found by reading.

Nothing is imported: the syntax tree of each file tells what it may import, anywhere in it.
"""

import ast
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from mlflow_workflow.identity.roots import PROJECT, below_roots, hides_entries, roots_of
from mlflow_workflow.identity.unseen import unseen_lines
from mlflow_workflow.project.graph import Step, command_words

VOUCHED = b"# loads no code of this project"
"""With this comment on such a line its author vouches for it, and the user is not told."""


@dataclass(frozen=True)
class Sources:
    """The files of a step (paths in the project) and the places where reading could not follow."""

    files: tuple[str, ...]
    unseen: tuple[str, ...] = ()


def read_sources(project: Path, step: Step) -> Sources:
    """The files that decide what a step does: its `sources:` if it has them, else what it imports."""
    if step.sources is not None:
        return Sources(tuple(matching(project, step.sources)))
    words = [word.removeprefix("./") for word in command_words(step.command)]
    roots = roots_of(project, step.command)
    modules = {file for module in run_modules(words) for file in run_files(project, module, roots)}
    files = {word for word in words if is_file_in(project, word)} | modules
    above = {package for file in files for package in packages_above(project, file)}
    found = follow(project, files | above, roots)
    # Whatever the command runs, it is not this project's Python: nobody can tell what it reads.
    strange = not any(file.endswith(".py") for file in files) or hides_entries(step.command)
    return Sources(found.files, ("its command", *found.unseen) if strange else found.unseen)


def run_modules(words: Sequence[str]) -> Iterator[str]:
    """Every x of `-m x` in a command."""
    for here, following in itertools.pairwise(words):
        if here == "-m" and following != "mlflow_workflow.step":
            yield following


def run_files(project: Path, module: str, roots: Iterable[str] = (PROJECT,)) -> Iterator[str]:
    """The file of a module that `python -m` runs; of a package, its __main__.py."""
    path = module.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__main__.py"):
        if is_inside(name):
            yield from below_roots(project, roots, name)


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
        return is_inside(name) and (project / name).is_file()
    except (OSError, ValueError):
        return False


def is_inside(name: str) -> bool:
    """Does a path, if it is one, stay in the folder that it is looked for in?"""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def packages_above(project: Path, file: str) -> Iterator[str]:
    """The __init__.py of every package that importing this file runs."""
    for folder in PurePosixPath(file).parents:
        if (project / folder / "__init__.py").is_file():
            yield (folder / "__init__.py").as_posix()


def follow(project: Path, start: set[str], places: set[str]) -> Sources:
    """The files reached from these by imports, and the places that reading cannot follow."""
    found: set[str] = set()
    unseen: list[str] = []
    met: set[str] = set()
    waiting, roots = sorted(start), import_roots(project, start, places)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        if file.endswith(".py"):
            modules, lines = read_imports(content(project / file), file)
            unseen += [f"{file}:{line}" for line in lines]
            for module in set(modules) - met:
                waiting += module_files(project, module, roots)
            met.update(modules)
    return Sources(tuple(sorted(found)), tuple(sorted(unseen)))


Roots = Mapping[str, set[str]]
"""A folder where absolute imports look → the names in it: most modules need no look at the disk."""


def import_roots(project: Path, start: set[str], places: set[str]) -> Roots:
    """The places where Python looks, and the folder of a script that is run by path."""
    roots = places | {str(PurePosixPath(script).parent) for script in start}
    return {root: {path.name for path in (project / root).iterdir()} for root in roots}


def content(file: Path) -> bytes:
    """What a file holds; nothing if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


@lru_cache(maxsize=512)
def parsed(source: bytes) -> ast.Module | None:
    """The syntax tree of a file, not to be changed; None for one that Python could not run.

    Remembered: several questions are asked of it.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


@lru_cache(maxsize=4096)
def read_imports(source: bytes, file: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The modules that a file may import, and the lines that reading cannot follow.

    None of either for a file that Python could not run. Remembered: files are looked at before
    every step, and seldom change.
    """
    tree = parsed(source)
    if tree is None:
        return (), ()
    lines = source.splitlines()
    unseen = (line for line in unseen_lines(tree) if VOUCHED not in lines[line - 1])
    return tuple(dict.fromkeys(imported(tree, file))), tuple(unseen)


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


def module_files(project: Path, module: str, roots: Roots) -> Iterator[str]:
    """The project's files that importing a module runs: the module and the packages above it.

    `package.*` may import every module of the package.
    """
    top = module.partition(".")[0]
    may_be_in = [root for root, names in roots.items() if top == "*" or names & {top, f"{top}.py"}]
    for root in may_be_in:
        path = project / root
        for part in (part for part in module.split(".") if part):
            if part == "*":
                yield from (file.relative_to(project).as_posix() for file in path.glob("*.py"))
                break
            path = path / part
            file, is_folder = path.with_name(f"{part}.py"), path.is_dir()
            if file.is_file():
                yield file.relative_to(project).as_posix()
            if not is_folder:
                break
            if (path / "__init__.py").is_file():
                yield (path / "__init__.py").relative_to(project).as_posix()
