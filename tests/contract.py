"""What a step must be, as sentences about what was forgotten; test_contract.py asks for every step."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click

from mlflow_workflow.project.graph import Step, Workflow

KINDS: dict[str, type[click.ParamType]] = {
    "int": type(click.INT),
    "float": type(click.FLOAT),
    "path": click.Path,
}


def forgotten(project: Path, workflow: Workflow) -> list[str]:
    """Everything that the steps of a project lack."""
    found = [line for step in workflow.steps.values() for line in lacking(project, step)]
    return [*found, *not_passed(workflow.main), *undeclared(project, workflow)]


def lacking(project: Path, step: Step) -> Iterator[str]:
    """What one step lacks. A step that is no Python owes a command that passes its parameters."""
    yield from not_passed(step)
    if step.script is None:
        return
    if not (project / step.script).is_file():
        yield f"step {step.name!r} in MLproject runs {step.script}, which is not there"
        return
    module = load(project, step.script)
    yield from undescribed(step, module)
    command = getattr(module, "main", None)
    if not isinstance(command, click.Command):
        yield f"{step.script} has no click command named main"
        return
    yield from misfits(step, {p.name: p for p in options(command)})
    if command.help != module.__doc__:
        yield f"{step.script}: give its docstring as help: @click.command(help=__doc__)"


def load(project: Path, script: str) -> ModuleType:
    """The module of a step's script, imported afresh from its file."""
    name = f"contract_{script.removesuffix('.py').replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(name, project / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and the like look their module up
    spec.loader.exec_module(module)
    return module


def undescribed(step: Step, module: ModuleType) -> Iterator[str]:
    """A docstring says in one sentence what the step does, then what it reads and writes."""
    lines = (module.__doc__ or "").splitlines()
    if not lines or not lines[0].strip().endswith("."):
        yield f"{step.script} has no docstring that begins with a sentence"
    for word in ("Reads", "Writes"):
        if not any(line.startswith(word) for line in lines):
            yield f"the docstring of {step.script} has no line that begins with {word!r}"


def options(command: click.Command) -> Iterator[click.Option]:
    """The options of a step, under the names that are typed."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            parameter.name = parameter.opts[0].removeprefix("--")
            yield parameter


def misfits(step: Step, found: dict[str | None, click.Option]) -> Iterator[str]:
    """How the options of a step differ from its entry in MLproject."""
    for name in sorted({*step.parameters} - {*found}):
        yield f"{step.script} has no option --{name}, which MLproject declares for step {step.name!r}"
    for name in sorted({str(name) for name in found} - {*step.parameters}):
        yield f"{step.script} takes --{name}, which MLproject does not declare for step {step.name!r}"
    for name, option in found.items():
        yield from misfit(step, str(name), option)


def misfit(step: Step, name: str, option: click.Option) -> Iterator[str]:
    """Defaults live in MLproject only, so an option has none; its type is the declared one."""
    if not option.required:
        yield f"--{name} of {step.script} must be required=True: its default lives in MLproject"
    declared = step.parameters.get(name)
    if declared and declared.type in KINDS and not isinstance(option.type, KINDS[declared.type]):
        yield f"--{name} of {step.script} is not of the type that MLproject declares: {declared.type}"


def not_passed(step: Step) -> Iterator[str]:
    """A parameter that the command does not pass on would be ignored without a word."""
    for name in step.parameters:
        if not re.search(rf"\{{\s*{re.escape(name)}\s*\}}", step.command):
            yield f"the command of {step.name!r} in MLproject does not pass {{{name}}}"
        elif step.script and step.name != "main" and f"--{name} {{{name}}}" not in step.command:
            yield f"the command of {step.name!r} in MLproject does not pass --{name} {{{name}}}"


def undeclared(project: Path, workflow: Workflow) -> Iterator[str]:
    """A script with a main of its own that no entry point runs."""
    declared = {step.script for step in workflow.steps.values()}
    for file in sorted((project / "steps").glob("*.py")):
        script = file.relative_to(project).as_posix()
        if "@click.command" in file.read_text(encoding="utf-8") and script not in declared:
            yield f"{script} has a command, but MLproject has no entry point that runs it"
