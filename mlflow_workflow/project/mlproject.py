"""MLproject, read and checked: every mistake is told before anything runs.

Nothing but MLproject declares the graph: a parameter `x: path` without a default, where x is another
step, receives that step's outputs.
"""

import re
import string
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.graph import MAIN, Parameter, Step, Workflow

HELP = "help"
TYPES = ("string", "int", "float", "bool", "yaml", "path", "uri")
# What MLflow reads, and for an entry what this project adds to it.
KEYS = ("name", "entry_points", "python_env", "conda_env", "docker_env", "databricks_spark_job")
ENTRY_KEYS = ("parameters", "command", "sources", "env", "timeout", "retries", "preload")
PARAMETER_KEYS = ("type", "default")
# What the workflow asks of main; it does without the others.
NEEDED = ("task", "match", "plan_format", "keep_going", "rerun", "sweep", "jobs", "metric", "reuse_from")
MOST = 1_000_000_000
"""Of seconds, 30 years: timers know no much later time."""


def open_workflow(project: Path) -> Workflow:
    """The workflow of a project folder, whose main has all that the workflow asks of it.

    Raises:
        WorkflowError: as read_workflow; the file cannot be read, or main lacks a parameter.
    """
    file = project / "MLproject"
    workflow = read_workflow(yaml_text.read(file, f"{file}, which declares the steps"))
    for name in NEEDED:
        if name not in workflow.main.parameters:
            raise WorkflowError(
                f"main in MLproject does not declare the parameter {name!r}, which the workflow needs:"
                " copy it from the original MLproject; there docs/parameters.md explains it"
            )
    return workflow


def read_workflow(text: str) -> Workflow:
    """The workflow that an MLproject file's text declares.

    Raises:
        WorkflowError: what is wrong with it, in which entry, and what to do.
    """
    project = yaml_text.load(text, "MLproject")
    entries = project.get("entry_points") if isinstance(project, dict) else None
    if not isinstance(entries, dict) or MAIN not in entries:
        raise WorkflowError("MLproject declares no entry point 'main' under entry_points")
    refuse_unknown_keys("MLproject", project, KEYS)
    names = {str(name) for name in entries} - {MAIN}
    steps = {name: read_step(name, entries[name], names) for name in entries}
    workflow = Workflow(steps.pop(MAIN), steps, environment_file(project))
    for step in workflow.steps.values():
        refuse_taken_names(step, workflow)
    refuse_cycle(workflow)
    return workflow


def environment_file(project: Mapping[str, Any]) -> str | None:
    """The file that lists the packages."""
    for key in ("python_env", "conda_env"):
        if file := project.get(key):
            if not isinstance(file, str):
                raise WorkflowError(f"{key!r} in MLproject must be the name of a file, not {file!r}")
            return file
    return None


def read_step(name: str, entry: Any, names: set[str]) -> Step:
    """One entry of MLproject, checked. `names` are the names of all steps."""
    if not isinstance(name, str):
        raise WorkflowError(f"the step name {name!r} of MLproject is no text to YAML: put it in quotes")
    if not re.fullmatch(r"[^./\\:\x00-\x1f]+", name):
        raise WorkflowError(f"the step name {name!r} of MLproject may hold no '.', '/', '\\' or ':'")
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        raise WorkflowError(f"entry point {name!r} of MLproject has no command")
    refuse_unknown_keys(f"step {name!r} of MLproject", entry, ENTRY_KEYS)
    declared = entry.get("parameters") or {}
    if not isinstance(declared, dict):
        raise WorkflowError(
            f"the parameters of step {name!r} in MLproject must be a mapping (name: type)"
        )
    parameters = {str(p): read_parameter(name, str(p), value) for p, value in declared.items()}
    refuse_unknown_placeholders(name, entry["command"], parameters)
    upstream = tuple(p for p in parameters if p in names and name != MAIN)
    for parameter in upstream:
        refuse_other_form(name, parameters[parameter])
    return Step(
        name=name,
        command=entry["command"],
        parameters=parameters,
        upstream=upstream,
        sources=read_sources(name, entry.get("sources")),
        env=read_names(name, entry.get("env")),
        timeout=read_number(name, "timeout", entry.get("timeout")),
        retries=int(read_number(name, "retries", entry.get("retries")) or 0),
        preload=read_preload(name, entry.get("preload")),
        entry=entry,
    )


def read_parameter(step: str, name: str, declared: Any) -> Parameter:
    """MLflow's two forms: `x: type`, and `x: {type: type, default: value}`."""
    form = declared if isinstance(declared, dict) else {"type": declared}
    where = f"parameter {name!r} of step {step!r} in MLproject"
    refuse_unknown_keys(where, form, PARAMETER_KEYS)
    kind = str(form.get("type", "string"))
    if kind not in TYPES:
        raise WorkflowError(f"{where} has the unknown type {kind!r}{suggestion(kind, TYPES)}")
    default = form.get("default")
    return Parameter(name, kind, None if default is None else str(default))


def read_sources(step: str, declared: Any) -> tuple[str, ...] | None:
    """The `sources:` of an entry: a glob or a list of globs."""
    if declared is None:
        return None
    globs = [declared] if isinstance(declared, str) else declared
    if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
        raise WorkflowError(f"'sources' of step {step!r} in MLproject must be a list of file globs")
    for glob in globs:
        refuse_odd_glob(step, glob)
    return tuple(globs)


def refuse_odd_glob(step: str, glob: str) -> None:
    """Raises WorkflowError for what Python cannot look for in a folder."""
    path = PurePosixPath(glob)
    where = f"'sources' of step {step!r} in MLproject has {glob!r}"
    if path.is_absolute() or not path.parts:
        raise WorkflowError(f"{where}: name files in the project, such as steps/*.py")
    if any("**" in part != "**" for part in path.parts):
        raise WorkflowError(f"{where}: ** must stand alone between slashes, such as **/*.py")


def read_names(step: str, declared: Any) -> tuple[str, ...]:
    """The `env:` of an entry: a list of names of environment variables."""
    names = [] if declared is None else declared
    if not isinstance(names, list) or not all(isinstance(n, str) and NAME.fullmatch(n) for n in names):
        raise WorkflowError(
            f"'env' of step {step!r} in MLproject must be a list of names of environment variables:"
            " what they hold counts"
        )
    return tuple(names)


NAME = re.compile(r"[A-Za-z_]\w*")


def read_preload(step: str, declared: Any) -> tuple[str, ...] | None:
    """The `preload:` of an entry: a package or a list of them; MLflow is there anyway."""
    if declared is None:
        return None
    names = [declared] if isinstance(declared, str) else declared
    known = isinstance(names, list) and all(isinstance(n, str) for n in names)
    if not known or not all(part.isidentifier() for name in names for part in name.split(".")):
        raise WorkflowError(
            f"'preload' of step {step!r} in MLproject must be a list of packages, such as"
            f" [mlflow, sklearn.linear_model], not {declared!r}"
        )
    return tuple(name for name in names if name != "mlflow")


def read_number(step: str, key: str, declared: Any) -> float | None:
    """A number of an entry that must not be negative, nor without end."""
    if declared is None:
        return None
    number = isinstance(declared, int | float) and not isinstance(declared, bool)
    if not number or not 0 <= declared <= MOST:
        raise WorkflowError(f"{key!r} of step {step!r} in MLproject must be a number from 0 to {MOST:,}")
    return float(declared)


def refuse_unknown_keys(where: str, mapping: Mapping[Any, Any], known: Iterable[str]) -> None:
    """MLflow ignores a misspelt key without a word."""
    for key in mapping:
        if key not in known:
            raise WorkflowError(f"{where} has the unknown key {key!r}{suggestion(str(key), known)}")


def refuse_unknown_placeholders(step: str, command: str, parameters: Iterable[str]) -> None:
    """A command may name declared parameters only; a brace for the shell is written twice."""
    where = f"the command of step {step!r} in MLproject"
    try:
        fields = [found for _, found, _, _ in string.Formatter().parse(command) if found is not None]
    except ValueError as error:
        wrong = f"{where} cannot be read: {error}"
        raise WorkflowError(f"{wrong} (for a brace that is none of MLflow's write it twice)") from None
    for name in fields:
        if name not in parameters:
            unknown = f"{where} names {{{name}}}, which is no parameter of it"
            raise WorkflowError(f"{unknown}{suggestion(name, parameters)}")


def refuse_other_form(step: str, parameter: Parameter) -> None:
    """A parameter named like a step can mean two things in any form but `x: path`."""
    if parameter.type == "path" and parameter.default is None:
        return
    raise WorkflowError(
        f"parameter {parameter.name!r} of step {step!r} is named like a step but is not"
        f" '{parameter.name}: path' without a default: write that to receive the outputs of step"
        f" {parameter.name!r}, or rename the parameter if it is something else"
    )


def refuse_taken_names(step: Step, workflow: Workflow) -> None:
    """A name that is already a parameter of main could not be told apart on the command line."""
    for name in {step.name, *step.own_parameters} & {HELP, *workflow.main.parameters}:
        taken = "an option of main already" if name == HELP else "a parameter of main too"
        raise WorkflowError(f"{name!r} of step {step.name!r} in MLproject is {taken}: rename it")


def refuse_cycle(workflow: Workflow) -> None:
    """Raises WorkflowError naming the steps of a cycle."""
    try:
        TopologicalSorter({n: s.upstream for n, s in workflow.steps.items()}).prepare()
    except CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise WorkflowError(f"the steps of MLproject form a cycle: {cycle}") from None
