"""main.py: from what was typed to the process's exit code."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.checks.script import described, look
from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.project.request import make_request
from mlflow_workflow.report.terminal import open_closed_streams
from mlflow_workflow.run.checks import check_request
from mlflow_workflow.run.command_line import NO_HELPS, parse

HELP_SHOWN, BAD_REQUEST = 0, 2


def run_beside(file: str) -> NoReturn:
    """Runs the workflow of the project in whose folder this file lies, and ends the process."""
    sys.exit(main(Path(file).resolve().parent))


def main(project: Path, arguments: Sequence[str] | None = None) -> int:
    """Runs the workflow of a project folder; returns the process's exit code."""
    open_closed_streams()
    try:
        refuse_deleted_folder()
        workflow = open_workflow(project)
        words = sys.argv[1:] if arguments is None else list(arguments)
        given = parse(
            workflow, words, helps(project, workflow) if {"--help", "-h"} & set(words) else NO_HELPS
        )
        if given is None:
            return HELP_SHOWN
        request = make_request(project, workflow, given)
        check_request(project, request)
        read_environment(project, workflow.environment_file)
    except WorkflowError as error:
        return refuse(error)
    # Here, because importing MLflow takes longer than all of the above.
    try:
        from mlflow_workflow.launch.local.engine import LocalEngine
        from mlflow_workflow.launch.warm.copies import fork_root, import_store
        from mlflow_workflow.run.session import run_request

        import_store()
    except KeyboardInterrupt:  # nothing has begun yet; from here on the session sees to signals
        return 128 + signal.SIGINT

    copies = fork_root(project, request)
    return run_request(project, request, partial(LocalEngine, copies=copies))


def helps(project: Path, workflow: Workflow) -> dict[str, str]:
    """What the parameters of steps do, by dotted name, as far as their scripts say."""
    sources = look(project)
    return {
        f"{step.name}.{name}": text
        for step in workflow.steps.values()
        for name, text in described(sources, step)[1].items()
    }


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
