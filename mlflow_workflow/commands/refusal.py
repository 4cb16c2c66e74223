"""What a command says of an expected mistake: one sentence, no traceback."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from mlflow_workflow.basics.errors import ServerGone, WorkflowError

P = ParamSpec("P")


def told(command: Callable[P, None]) -> Callable[P, None]:
    """The command, whose expected mistakes click tells as its own."""

    @wraps(command)
    def telling(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except (WorkflowError, ServerGone, OSError) as error:
            raise click.ClickException(str(error)) from None

    return telling
