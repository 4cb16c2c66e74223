"""A step's command line: what click makes of it, and in its --help what MLproject gives."""

import inspect
from collections.abc import Callable
from pathlib import Path

import click


class StepCommand(click.Command):
    """`@click.command(cls=StepCommand, help=__doc__)`: its --help ends with the defaults of MLproject.

    They live there only, so that click knows nothing of them. Nothing reads them but --help.
    """

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them below the options."""
        super().format_epilog(ctx, formatter)
        rows = given_by_mlproject(self.callback) if self.callback else []
        if rows:
            with formatter.section("What MLproject gives, if nobody else does"):
                formatter.write_dl(rows)


def given_by_mlproject(callback: Callable[..., object]) -> list[tuple[str, str]]:
    """Each parameter of the step whose script has this function, and its default in words."""
    from mlflow_workflow.basics.errors import WorkflowError
    from mlflow_workflow.checks.script import look, script_of
    from mlflow_workflow.project.mlproject import open_workflow
    from mlflow_workflow.project.parameters import describe

    file = Path(inspect.getfile(inspect.unwrap(callback))).resolve()
    project = next((place for place in file.parents if (place / "MLproject").is_file()), None)
    try:
        steps = open_workflow(project).steps.values() if project else ()
    except WorkflowError:  # main and `check` tell what is wrong with it
        return []
    sources = look(project) if project else None
    return [
        (f"--{name}", f"outputs of {name}" if name in step.upstream else describe(parameter))
        for step in steps
        if project and sources and script_of(sources, step) == file.relative_to(project).as_posix()
        for name, parameter in step.parameters.items()
    ]
