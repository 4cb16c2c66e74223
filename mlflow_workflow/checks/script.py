"""A step's script, read and not run: what its docstring says, and which options it takes."""

import ast
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from mlflow_workflow.identity.disk import Disk
from mlflow_workflow.identity.sources import Sources, is_inside
from mlflow_workflow.project.commands import python_words
from mlflow_workflow.project.graph import Step

KINDS = {
    "int": ("int", "INT", "IntRange"),
    "float": ("float", "FLOAT", "FloatRange"),
    "path": ("Path",),
    "string": ("str", "STRING", "Choice"),
}
"""A type of MLproject → how click's options call it."""


HARMLESS = ("command", "option", "argument", "pass_context", "pass_obj", "version_option")
"""Decorators of click that leave to options what the command line says."""


@dataclass(frozen=True)
class Option:
    """An option of a step, under all `names` that can be typed.

    `type` is MLproject's word for its type; None: reading cannot tell.
    """

    names: tuple[str, ...]
    required: bool
    type: str | None
    help: str


@dataclass(frozen=True)
class Script:
    """What a step's script says of itself.

    `options` are None if it has no click command named main; it may take others too if they are not
    `complete`.
    """

    docstring: str | None
    options: Mapping[str, Option] | None
    complete: bool
    help_is_docstring: bool


def look(project: Path) -> Sources:
    """One look at the files of a project, for all that is asked of its steps."""
    return Sources(Disk(project))


def script_of(sources: Sources, step: Step) -> str | None:
    """The project's file that a step's command runs, also one that is missing; None if it runs none.

    None too if the command may run anything beside it, which may look elsewhere for modules.
    """
    match python_words(step.command):
        case ["-m", module, *_]:
            roots = roots_of(sources, step)
            there = [file for root in roots for file in sources.run_files(module, root)]
            own = (sources.disk.project / module.partition(".")[0]).is_dir()
            return there[0] if there else f"{module.replace('.', '/')}.py" if own else None
        case [file, *_]:
            name = file.removeprefix("./")
            return name if is_inside(name) else None
    return None


def roots_of(sources: Sources, step: Step) -> list[str]:
    """The folders of the project where a step looks for modules."""
    file = (python_words(step.command) or [""])[0]
    own = [str(PurePosixPath(file).parent)] if file.endswith(".py") else []
    return list(dict.fromkeys([*sources.around, *own]))


def files_of(sources: Sources, step: Step) -> list[str]:
    """The Python files of the project that a step's script may load, itself included."""
    words = python_words(step.command) or []
    script = words[: 2 if words[:1] == ["-m"] else 1]
    return [n for n in sources.imported(shlex.join(["python", *script])) if n.endswith(".py")]


def passed(step: Step) -> set[str]:
    """The options that a step's command gives to its script."""
    words = python_words(step.command) or []
    return {word[2:].partition("=")[0] for word in words if word.startswith("--")} - {""}


def content(file: Path) -> bytes:
    """What a file holds; nothing if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


@lru_cache(maxsize=1024)
def parsed(source: bytes) -> ast.Module | None:
    """The syntax tree of a file, not to be changed; None for one that Python could not run."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def read_script(file: Path) -> Script:
    """What a script says of itself: nothing if it cannot be read or is no Python."""
    tree = parsed(content(file)) or ast.Module([], [])
    main = next((node for node in tree.body if is_main(node)), None)
    decorators = main.decorator_list if isinstance(main, ast.FunctionDef) else []
    calls = [each for each in decorators if isinstance(each, ast.Call)]
    command = next((call for call in calls if last_name(call) == "command"), None)
    options = [read_option(call) for call in calls if last_name(call) == "option"]
    plain = all(last_name(each) in HARMLESS for each in decorators) and all(o.names for o in options)
    said = {k.arg: k.value for k in command.keywords} if command else {}
    return Script(
        docstring=ast.get_docstring(tree, clean=False),
        options={o.names[0]: o for o in options if o.names} if command else None,
        complete=plain and set(said) <= {"cls", "help", "name"} and is_ours(said.get("cls")),
        help_is_docstring=isinstance(text := said.get("help"), ast.Name) and text.id == "__doc__",
    )


def described(sources: Sources, step: Step) -> tuple[str, Mapping[str, str]]:
    """What a step does, in a sentence, and each of its parameters, as far as its script says."""
    if (name := script_of(sources, step)) is None:
        return "", {}
    script = read_script(sources.disk.project / name)
    helps = {option: found.help for option, found in (script.options or {}).items()}
    return (script.docstring or "").strip().partition("\n")[0], helps


def is_ours(cls: ast.expr | None) -> bool:
    """Is a command's class click's own or the engine's, which take options as they stand?"""
    return cls is None or last_name(cls) == "StepCommand"


def is_main(node: ast.stmt) -> bool:
    """Is this `def main`?"""
    return isinstance(node, ast.FunctionDef) and node.name == "main"


def last_name(node: ast.expr) -> str:
    """`option` of `click.option`, of `option`, and of what calls it."""
    while isinstance(node, ast.Call):
        node = node.func
    return (
        node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    )


def read_option(call: ast.Call) -> Option:
    """What is said of an option."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    names = [word.strip() for text in texts(*call.args) for word in text.split("/")]
    return Option(
        names=tuple(name[2:] for name in names if name.startswith("--")),
        required=is_true(given.get("required")) and not {"default", "envvar", "prompt"} & set(given),
        type=kind_of(given["type"]) if "type" in given else None if None in given else "string",
        help=" ".join("".join(texts(given["help"])).split()) if "help" in given else "",
    )


def is_true(node: ast.expr | None) -> bool:
    """Is it the word True?"""
    return isinstance(node, ast.Constant) and node.value is True


def texts(*nodes: ast.expr) -> Iterator[str]:
    """Those that are plain text."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def kind_of(node: ast.expr) -> str | None:
    """The type of MLproject that a click type is, such as `int` or `click.Path(exists=True)`."""
    return next((kind for kind, names in KINDS.items() if last_name(node) in names), None)
