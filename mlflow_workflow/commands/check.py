"""`mlflow-workflow check`"""

from pathlib import Path

import click

from mlflow_workflow.checks.contract import mistakes


@click.command()
def check() -> None:
    """Tell what is wrong with the project here, as far as that can be known without running it."""
    found = mistakes(Path.cwd())
    for sentence in found:
        click.echo(sentence)
    if found:
        raise SystemExit(1)
    click.echo("nothing is wrong that can be known without running it")
