"""The command line of main: its options are the parameters that MLproject declares."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.project.parameters import (
    override_names,
)
from mlflow_workflow.project.request import make_request
from mlflow_workflow.report.terminal import give_output_up, open_closed_streams
from mlflow_workflow.run.checks import check_request

HELP_SHOWN, BAD_REQUEST = 0, 2


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
        check_request(project, request)
        installed = read_environment(project, workflow.environment_file)
    except WorkflowError as error:
        return refuse(error)
    # Here, because importing MLflow takes longer than all of the above.
    try:
        from mlflow_workflow.launch.local.launcher import Launcher
        from mlflow_workflow.launch.warm import fork_server
        from mlflow_workflow.run.session import run_request

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
        from mlflow_workflow.run import parent

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
