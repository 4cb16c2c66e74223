"""What a step must be: as sentences about what was forgotten, and what does not fit MLproject."""

import re
from collections.abc import Iterator
from pathlib import Path

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.checks.loading import broken
from mlflow_workflow.checks.script import Option, Script, look, passed, read_script, script_of
from mlflow_workflow.identity.environment import requirements
from mlflow_workflow.identity.sources import Sources
from mlflow_workflow.project.commands import python_words
from mlflow_workflow.project.graph import MAIN, Step, Workflow, command_words
from mlflow_workflow.project.mlproject import open_workflow

TOLD_TYPES = ("int", "float", "path")
"""Types that an option of a step must have too; the others reach it as text."""


def mistakes(project: Path) -> list[str]:
    """All that can be known to be wrong with a project without running it, a sentence each."""
    try:
        workflow = open_workflow(project)
        if workflow.environment_file:
            requirements(project / workflow.environment_file)
    except WorkflowError as error:
        return [str(error)]
    sources = look(project)
    found = [line for step in workflow.steps.values() for line in of_step(sources, workflow, step)]
    return list(dict.fromkeys([*found, *not_passed(workflow.main), *undeclared(sources, workflow)]))


def of_step(sources: Sources, workflow: Workflow, step: Step) -> Iterator[str]:
    """What is wrong with one step."""
    if trouble := broken(sources, workflow, step):
        yield from trouble
    else:
        yield from lacking(sources, step)


def lacking(sources: Sources, step: Step) -> Iterator[str]:
    """What one step lacks. A step that is no Python owes a command that passes its parameters."""
    yield from not_passed(step)
    if (name := script_of(sources, step)) is None:
        return
    script = read_script(sources.disk.project / name)
    yield from undescribed(name, script)
    if script.options is None:
        yield f"{name} has no click command named main"
        return
    yield from unfit(sources, step)
    for option, found in script.options.items():
        yield from misfit(step, name, option, found)
    if not script.help_is_docstring:
        yield f"{name}: give its docstring as help: @click.command(help=__doc__)"


def unfit(sources: Sources, step: Step) -> Iterator[str]:
    """Options for which click would end the step as soon as it starts."""
    if (name := script_of(sources, step)) is None:
        return
    script = read_script(sources.disk.project / name)
    if script.options is None or not script.complete:
        return
    given, where = passed(step), f"which the command of step {step.name!r} in MLproject"
    for option in sorted(given - {name for found in script.options.values() for name in found.names}):
        yield f"{name} has no option --{option}, {where} passes"
    for option, found in script.options.items():
        if found.required and not given & set(found.names):
            yield f"{name} requires --{option}, {where} does not pass"


def undescribed(name: str, script: Script) -> Iterator[str]:
    """A docstring says in one sentence what the step does, then what it reads and writes."""
    lines = (script.docstring or "").splitlines()
    if not lines or not lines[0].strip().endswith("."):
        yield f"{name} has no docstring that begins with a sentence"
    for word in ("Reads", "Writes"):
        if not any(line.startswith(word) for line in lines):
            yield f"the docstring of {name} has no line that begins with {word!r}"


def misfit(step: Step, name: str, option: str, found: Option) -> Iterator[str]:
    """Defaults live in MLproject only, so an option has none; its type is the declared one."""
    declared = step.parameters.get(option)
    if declared is None:
        yield f"{name} takes --{option}, which MLproject does not declare for step {step.name!r}"
        return
    if not found.required:
        yield f"--{option} of {name} must be required=True: its default lives in MLproject"
    if declared.type in TOLD_TYPES and found.type not in (None, declared.type):
        yield f"--{option} of {name} is not of the type that MLproject declares: {declared.type}"


def not_passed(step: Step) -> Iterator[str]:
    """A parameter that the command does not pass on would be ignored without a word."""
    takes_options = step.name != MAIN and python_words(step.command)
    for name in step.parameters:
        where = f"the command of {step.name!r} in MLproject does not pass"
        if not re.search(rf"\{{\s*{re.escape(name)}\s*\}}", step.command):
            yield f"{where} {{{name}}}"
        elif takes_options and f"--{name} {{{name}}}" not in step.command:
            yield f"{where} --{name} {{{name}}}"


def undeclared(sources: Sources, workflow: Workflow) -> Iterator[str]:
    """A script with a main of its own that no entry point runs."""
    project, commands = sources.disk.project, [step.command for step in workflow.steps.values()]
    named = {word.removeprefix("./") for command in commands for word in command_words(command)}
    for file in sorted((project / "steps").glob("*.py")):
        script = file.relative_to(project).as_posix()
        module = script.removesuffix(".py").replace("/", ".")
        if named.isdisjoint({script, module}) and read_script(file).options is not None:
            yield f"{script} has a command, but MLproject has no entry point that runs it"
