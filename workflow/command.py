"""The command line of main: its options are the parameters that MLproject declares."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from workflow.credentials import refuse_credentials
from workflow.environment import read_environment
from workflow.errors import WorkflowError, suggestion
from workflow.fingerprint import MODES
from workflow.graph import Workflow
from workflow.mlproject import open_workflow
from workflow.named_data import Texts, data_texts, refuse_unfit_data
from workflow.parameters import (
    TRUTH,
    Config,
    Values,
    check_config,
    main_values,
    override_names,
    read_bool,
    read_config,
    step_values,
    typed,
)
from workflow.plan import Node, make_nodes
from workflow.surroundings import refuse_missing_module
from workflow.sweep import Branch, Combination, expand, overrides_of, read_sweep
from workflow.terminal import give_output_up, open_closed_streams

PLAN_FORMATS = ("table", "json")
HELP_SHOWN, BAD_REQUEST = 0, 2


@dataclass(frozen=True)
class Request:
    """What was asked for, checked: nothing has run yet. `texts` are the values that may name data."""

    workflow: Workflow
    task: str
    settings: Mapping[str, str]
    configs: tuple[Path, ...]
    texts: Texts
    nodes: tuple[Node, ...]
    branches: tuple[Branch, ...]
    given: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """A setting that is true or false."""
        return read_bool(self.settings.get(name, "false"))

    @property
    def keep_going(self) -> bool:
        """Shall other branches go on after a failure? By default in a sweep only."""
        return self.flag("keep_going") if self.settings["keep_going"] else len(self.branches) > 1

    @property
    def jobs(self) -> int:
        """How many steps may run at the same time; 0 stands for the processors of this machine."""
        return int(self.settings["jobs"]) or processors()


def processors() -> int:
    """How many processors this process may use; not every system can tell, then how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def main(project: Path, arguments: Sequence[str] | None = None) -> int:
    """Runs the workflow of a project folder; returns the process's exit code."""
    open_closed_streams()
    try:
        refuse_deleted_folder()
        workflow = open_workflow(project)
        given = parse(workflow, sys.argv[1:] if arguments is None else list(arguments))
        if given is None:
            return HELP_SHOWN
        request = make_request(project, workflow, given)
        installed = read_environment(project, workflow.environment_file)
    except WorkflowError as error:
        return refuse(error)
    # Here, because importing MLflow takes longer than all of the above.
    try:
        from workflow import fork_server
        from workflow.launch import Launcher
        from workflow.session import run_request

        fork_server.import_store()
    except KeyboardInterrupt:  # nothing has begun yet; from here on the session sees to signals
        return 128 + signal.SIGINT

    server = fork_server.start(project, request, installed)
    try:
        return run_request(project, request, partial(Launcher, fork_server=server))
    finally:
        if server:
            server.close()


def refuse_deleted_folder() -> None:
    """Raises WorkflowError if we are nowhere: MLflow would look there, and not say where it looked."""
    try:
        Path.cwd()
    except OSError as error:
        gone = f"the current folder is gone or cannot be read ({error.strerror})"
        raise WorkflowError(f"{gone}: change into another one, and try again") from None


def refuse(error: WorkflowError) -> int:
    """Says what is wrong with the request, on the terminal and on the parent run if there is one."""
    with suppress(OSError):
        click.echo(f"Error: {error}", err=True)
    if "MLFLOW_RUN_ID" in os.environ:
        from workflow import parent

        parent.refused(str(error))
    return BAD_REQUEST


def parse(workflow: Workflow, arguments: list[str]) -> dict[str, str] | None:
    """Parameter → text as given, or None if only help was asked for.

    Raises:
        WorkflowError: a parameter that nobody declares, or one without a value.
    """
    command = make_command(workflow)
    names = {p.name: p.opts[0][2:] for p in command.params if isinstance(p, click.Option)}
    try:
        with command.make_context("main.py", arguments) as context:
            given = {str(k): v for k, v in context.params.items() if v is not None}
    except click.exceptions.Exit:
        return None
    except OSError:  # nobody reads the help
        give_output_up()
        return None
    except click.NoSuchOption as error:
        word = error.option_name.lstrip("-")
        known = [*override_names(workflow), *workflow.main.parameters]
        raise WorkflowError(f"unknown parameter {word!r}{suggestion(word, known)}") from None
    except click.UsageError as error:
        cure = " (a parameter is given as --name value)" if "argument" in error.message else ""
        raise WorkflowError(error.format_message() + cure) from None
    return {str(names.get(name, name)): value for name, value in given.items()}


def make_command(workflow: Workflow) -> click.Command:
    """A click command with main's parameters, then those of the steps, bare and dotted."""
    main_parameters = workflow.main.parameters.values()
    options: list[click.Parameter] = [
        click.Argument([p.name], default=p.default) if p.name == "task" else option(p.name, p.default)
        for p in main_parameters
    ]
    options += [option(name, None, words) for name, words in override_names(workflow).items()]
    steps = ", ".join(workflow.steps)
    text = (
        "Brings TASK up to date: reuses what is already done, runs the rest."
        f"\n\nTASK: {steps}.\n\nWhat the options do: README.md, Parameters of main."
    )
    return click.Command("main", params=options, help=text)


def option(name: str, default: str | None, words: str = "") -> click.Option:
    """An option that takes any text.

    Its identifier is its name in hex: `train.seed` and `train_seed` must not become one.
    """
    shown = f"{words or 'default ' + repr(default)}"
    return click.Option(
        [f"--{name}", f"p_{name.encode().hex()}"], default=default, metavar="…", help=shown
    )


def make_request(project: Path, workflow: Workflow, given: Mapping[str, str]) -> Request:
    """What was asked for, with every value resolved and checked.

    Raises:
        WorkflowError: what cannot be done, before anything runs.
    """
    for name, value in given.items():
        refuse_credentials(f"parameter {name!r}", value)
    own = {n: v for n, v in given.items() if n in workflow.main.parameters}
    pins = {n: v for n, v in given.items() if n in workflow.steps}
    overrides = {n: v for n, v in given.items() if n not in own and n not in pins}
    files = tuple(project / name for name in split(own.get("config", "")))
    configs = [open_config(workflow, file) for file in files]
    settings = main_values(workflow, own, configs)
    check_settings(workflow, settings)
    base = step_values(workflow, overrides, configs)
    all_values: list[Values] = []

    def make(combination: Combination) -> list[Node]:
        swept = overrides_of(workflow, combination, overrides, base)
        values = step_values(workflow, swept, configs)
        all_values.append(values)
        return make_nodes(workflow, settings["task"], values, pins, split(settings["rerun"]))

    nodes, branches = expand(workflow, read_sweep(settings["sweep"]), make)
    executed = [node for node in nodes if not node.pin]
    for step in {node.step.name: node.step for node in executed}.values():
        refuse_missing_module(project, step)
    for node in executed:
        typed(node.step, node.values)
        refuse_unfit_data(project, node.step, node.values)
    return Request(
        workflow,
        settings["task"],
        settings,
        files,
        data_texts(workflow, all_values),
        tuple(nodes),
        tuple(branches),
        given,
    )


def check_settings(workflow: Workflow, settings: Mapping[str, str]) -> None:
    """Raises WorkflowError for a value of main's own parameters that means nothing."""
    typed(workflow.main, settings)
    choices = {"match": MODES, "plan_format": PLAN_FORMATS, "keep_going": ("", *TRUTH)}
    for name, known in choices.items():
        if settings[name] not in known:
            wrong = f"{name} cannot be {settings[name]!r}"
            raise WorkflowError(f"{wrong}{suggestion(settings[name], [k for k in known if k])}")
    for name in set(split(settings["rerun"])) - {"all", *workflow.steps}:
        raise WorkflowError(f"rerun names the unknown step {name!r}{suggestion(name, workflow.steps)}")
    if int(settings["jobs"]) < 0:
        raise WorkflowError("jobs must be 0 (one per processor) or more")


def open_config(workflow: Workflow, file: Path) -> Config:
    """A config file, checked against MLproject. Raises WorkflowError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "a relative path is looked up in the project folder"
        raise WorkflowError(f"cannot read the config file {file}: {error} ({hint})") from None
    refuse_credentials(f"config file {file}", text)
    config = read_config(text, file.name)
    check_config(workflow, config)
    return config


def split(text: str) -> list[str]:
    """The words of a comma list."""
    return [word.strip() for word in text.split(",") if word.strip()]
