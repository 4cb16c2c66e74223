"""The command line of main: its options are the parameters that MLproject declares."""

from collections import deque
from collections.abc import Iterator, Mapping

import click

from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.graph import Parameter, Workflow
from mlflow_workflow.project.parameters import override_names
from mlflow_workflow.project.settings import SETTINGS, Setting
from mlflow_workflow.report.terminal import give_output_up

HELP = {"help_option_names": ["--help", "-h"]}
NO_HELPS: Mapping[str, str] = {}
CURE = "a parameter is given as --name value, or -P name=value"
OF_MLFLOW = {
    "experiment-name": "set the environment variable MLFLOW_EXPERIMENT_NAME",
    "run-name": "set the environment variable MLFLOW_RUN_NAME",
    "env-manager": "leave it out: main.py runs in the environment that you are in",
    "entry-point": "leave it out: main.py is the entry point 'main'",
}
"""Options of `mlflow run` that people type at main.py too, and what to do instead."""


def parse(
    workflow: Workflow, arguments: list[str], helps: Mapping[str, str] = NO_HELPS
) -> dict[str, str] | None:
    """Parameter → text as given, or None if only help was asked for.

    `helps` are sentences for the help, by dotted name: what the parameters of steps do.

    Raises:
        WorkflowError: a parameter that nobody declares, or one without a value.
    """
    command = make_command(workflow, helps)
    names = {p.name: p.opts[0][2:] for p in command.params if isinstance(p, click.Option)}
    try:
        words = [*as_options(workflow, deque(arguments))]
        with command.make_context("main.py", words) as context:
            given = {str(k): v for k, v in context.params.items() if v is not None}
    except click.exceptions.Exit:
        return None
    except OSError:  # nobody reads the help
        give_output_up()
        return None
    except click.NoSuchOption as error:
        raise WorkflowError(unknown(workflow, error.option_name.lstrip("-"))) from None
    except click.UsageError as error:
        cure = f" ({CURE})" if "argument" in error.message else ""
        raise WorkflowError(error.format_message() + cure) from None
    return {str(names.get(name, name)): value for name, value in given.items()}


def unknown(workflow: Workflow, word: str) -> str:
    """What is said of an option that no parameter is called like."""
    if cure := OF_MLFLOW.get(word):
        return f"--{word} is an option of 'mlflow run': {cure}"
    known = [*override_names(workflow), *workflow.main.parameters]
    return f"unknown parameter {word!r}{suggestion(word, known)}"


def as_options(workflow: Workflow, words: deque[str]) -> Iterator[str]:
    """What was typed, with every parameter as `--name=value`.

    `-P name=value` is understood as `mlflow run` does it, `--dry-run` as `--dry_run`, and a parameter
    that is true or false is true where no value follows.
    """
    flags = {
        name: is_flag(workflow, name) for name in (*workflow.main.parameters, *override_names(workflow))
    }
    while words:
        word = words.popleft()
        if word.startswith("-P"):
            yield from from_pair(flags, word[2:] or (words.popleft() if words else ""))
        elif word.startswith("--") and word != "--":
            yield from from_option(workflow, flags, word[2:], words)
        elif "=" in word and declared(flags, word.partition("=")[0]) in flags:
            raise WorkflowError(f"{word!r} is no task: {CURE}")
        else:
            yield word


def from_pair(flags: Mapping[str, bool], pair: str) -> Iterator[str]:
    """`name=value`, as -P takes it."""
    name, equals, value = pair.partition("=")
    if not equals:
        raise WorkflowError(f"-P takes name=value, not {pair!r}")
    name = declared(flags, name)
    yield as_option(name, value)


def from_option(
    workflow: Workflow, flags: Mapping[str, bool], text: str, words: deque[str]
) -> Iterator[str]:
    """`name=value`, or a name whose value is the next word: taken from `words`, if it has one."""
    name, equals, value = text.partition("=")
    name = declared(flags, name)
    if name not in flags:
        yield f"--{text}"
    elif equals:
        yield as_option(name, value)
    elif flags[name] and (not words or words[0].startswith("--") or words[0] in workflow.steps):
        yield f"--{name}=true"
    else:
        yield as_option(name, words.popleft()) if words else f"--{name}"


def as_option(name: str, value: str) -> str:
    """A parameter as click takes it; the task is no option."""
    return value if name == "task" else f"--{name}={value}"


def declared(flags: Mapping[str, bool], name: str) -> str:
    """The name, with '_' for '-' if that is how it is declared."""
    other = name.replace("-", "_")
    return other if name not in flags and other in flags else name


def is_flag(workflow: Workflow, name: str) -> bool:
    """Is a parameter true or false?"""
    return any(parameter.type == "bool" for _, parameter in meant(workflow, name))


def meant(workflow: Workflow, name: str) -> list[tuple[str, Parameter]]:
    """The parameters that a name sets, with their steps: none if it pins a step."""
    if name in workflow.main.parameters:
        return [("main", workflow.main.parameters[name])]
    step, dot, own = name.rpartition(".")
    return [
        (each.name, each.own_parameters[own])
        for each in workflow.steps.values()
        if own in each.own_parameters and (each.name == step or not dot) and name not in workflow.steps
    ]


def make_command(workflow: Workflow, helps: Mapping[str, str]) -> click.Command:
    """A click command with main's parameters, then those of the steps, bare and dotted."""
    main = workflow.main.parameters.values()
    options: list[click.Parameter] = [
        click.Argument(["task"], default=p.default) if p.name == "task" else own_option(p) for p in main
    ]
    options += [option(name, *of_steps(workflow, name, helps)) for name in override_names(workflow)]
    text = (
        "Brings TASK up to date: reuses what is already done, runs the rest."
        f"\n\nTASK: {', '.join(workflow.steps)}. Default: {workflow.main.parameters['task'].default}."
        f"\n\nThe same as `mlflow run . -P task=TASK -P name=value …`; {CURE}."
    )
    return click.Command("main", params=options, help=text, context_settings=HELP)


def own_option(parameter: Parameter) -> click.Option:
    """One of main's own parameters."""
    setting = SETTINGS.get(parameter.name, Setting(""))
    values = "|".join(setting.choices) or parameter.type.upper()
    return option(
        parameter.name, values, with_default(setting.help, parameter.default), parameter.default
    )


def of_steps(workflow: Workflow, name: str, helps: Mapping[str, str]) -> tuple[str, str]:
    """What may be given for a parameter of steps or a pin, and what it does."""
    if not (parameters := meant(workflow, name)):
        return "RUN", f"use this earlier result of {name}: a run id, runs:/…, a folder or URI"
    defaults = {parameter.default for _, parameter in parameters}
    said = {helps.get(f"{step}.{parameter.name}", "") for step, parameter in parameters}
    steps = "" if "." in name else f"of {', '.join(step for step, _ in parameters)}"
    words = f"{said.pop() if len(said) == 1 else ''} {steps}".strip()
    own = with_default(words, *defaults) if len(defaults) == 1 else f"{words} [defaults differ]"
    return "|".join(dict.fromkeys(p.type.upper() for _, p in parameters)), own


def with_default(words: str, default: str | None) -> str:
    """The words and the default; an empty one is not worth telling."""
    told = "required" if default is None else f"default: {default}" if default else ""
    return f"{words} [{told}]".strip() if told else words


def option(name: str, values: str, words: str, default: str | None = None) -> click.Option:
    """An option that takes any text.

    Its identifier is its name in hex: `train.seed` and `train_seed` must not become one.
    """
    return click.Option(
        [f"--{name}", f"p_{name.encode().hex()}"], default=default, metavar=values, help=words
    )
